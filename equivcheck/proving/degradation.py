"""Whether drafts are accepted less often than by the sound decoder, prompt by prompt.

Tokens of one prompt rise and fall together and prompts differ widely, so both decoders answer the
same prompts and prompts are the sample.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from equivcheck.acceptance import LEVEL
from equivcheck.findings import Interval
from equivcheck.generation import Generation


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

    With residuals ``e = (a - r d) / D`` of each decoder's accepted `a` and drafted `d` tokens of a
    prompt, its rate `r` and its total `D`, the standard error of the difference of rates is that of
    ``sum(e_ours - e_sound)`` over prompts, against Student's t (Cochran, Sampling Techniques,
    difference of two ratios on one sample).
    """
    keys = [key for key in sound if key in ours]
    counts = [(counted(ours[key]), counted(sound[key])) for key in keys]
    drafted, sound_drafted = (sum(pair[side][1] for pair in counts) for side in (0, 1))
    if len(keys) < 2 or not drafted or not sound_drafted:
        return None
    from scipy.special import stdtrit

    rate = sum(one[0] for one, _ in counts) / drafted
    sound_rate = sum(other[0] for _, other in counts) / sound_drafted
    squares = sum(
        ((one[0] - rate * one[1]) / drafted - (other[0] - sound_rate * other[1]) / sound_drafted)
        ** 2
        for one, other in counts
    )
    error = (len(keys) / (len(keys) - 1) * squares) ** 0.5
    half = float(stdtrit(len(keys) - 1, 0.5 + LEVEL / 2)) * error
    difference = rate - sound_rate
    return Degradation(
        workload=workload,
        sound=sound_rate,
        rate=rate,
        interval=Interval(low=difference - half, high=difference + half),
    )


def counted(answer: Generation) -> tuple[int, int]:
    """Accepted and drafted tokens of one answer."""
    return sum(step.accepted for step in answer.steps), sum(step.drafted for step in answer.steps)
