"""Whether drafts are accepted less often than by the sound decoder, prompt by prompt.

Tokens of one prompt rise and fall together and prompts differ widely, so both decoders answer the
same prompts and prompts are the sample.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from equivcheck.core.findings import Interval
from equivcheck.core.generation import Counts, Generation
from equivcheck.statistics.ratios import acceptance_change


class Degradation(Struct, frozen=True, kw_only=True):
    """Acceptance rate of a decoder less that of the sound one."""

    workload: str
    sound: float
    """Accepted per drafted token."""
    rate: float
    interval: Interval
    """95 %, of the difference."""

    @property
    def degraded(self) -> bool:
        """Whether the whole interval is below 0."""
        return self.interval.high < 0


def degradation(
    ours: Mapping[str, Generation], sound: Mapping[str, Generation], *, workload: str
) -> Degradation | None:
    """Compare two decoders on the prompts that both answered; None with fewer than two.

    The interval is that of `acceptance_change`.
    """
    change = acceptance_change(
        base={key: counted(answer) for key, answer in sound.items()},
        new={key: counted(answer) for key, answer in ours.items()},
    )
    if change.base is None or change.new is None or change.interval is None:
        return None
    return Degradation(
        workload=workload, sound=change.base, rate=change.new, interval=change.interval
    )


def counted(answer: Generation) -> Counts:
    """Drafted and accepted tokens of one answer."""
    return Counts(
        drafted=sum(step.drafted for step in answer.steps),
        accepted=sum(step.accepted for step in answer.steps),
    )
