"""How often drafts were accepted, by workload: the one place where raw counters become rates.

Definitions are those of vLLM and llama.cpp: the acceptance rate leaves the bonus token out, the
acceptance length counts it. Undefined is None, never 0 or 1. Intervals take prompts, not tokens, as
the sample: tokens of one prompt rise and fall together, and token-level intervals are far too
narrow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import zip_longest

from msgspec import Struct

from equivcheck.core.findings import Interval
from equivcheck.core.generation import Generation
from equivcheck.records.records import CANDIDATE, Evidence, by_workload
from equivcheck.statistics.ratios import ratio_interval


class AcceptanceCounts(Struct, frozen=True, kw_only=True):
    """Counts over the verify steps that had drafts, except where it says all, and what follows.

    Where an engine tells counts a request and no steps, there are no numbers of steps (0), and what
    is per step is unknown.
    """

    prompts: int
    """Prompts with at least one draft."""
    num_steps: int
    """All steps, also those without drafts."""
    num_spec_steps: int
    num_draft_tokens: int
    num_accepted_draft_tokens: int
    histogram: dict[int, int]
    """Accepted drafts to number of steps."""
    drafted_lengths: dict[int, int]
    """Drafted tokens to number of steps."""
    rate_interval: Interval | None
    """95 %, of the acceptance rate; None with fewer than two prompts."""
    accepted_by_slot: tuple[int, ...] = ()
    """Accepted drafts by slot, as far as told."""
    by_step: bool = True
    """Whether every answer that tells drafts tells its steps."""

    @property
    def rate(self) -> float | None:
        """Accepted per drafted token, bonus excluded."""
        return _ratio(self.num_accepted_draft_tokens, self.num_draft_tokens)

    @property
    def mean_length(self) -> float | None:
        """Tokens per step that had drafts, bonus included: what vLLM's acceptance length is."""
        share = _ratio(self.num_accepted_draft_tokens, self.num_spec_steps)
        return None if share is None else 1 + share

    @property
    def tokens_per_step(self) -> float | None:
        """Tokens per step, of all steps, before a stop cuts one: plain decoding has 1."""
        return _ratio(self.num_accepted_draft_tokens + self.num_steps, self.num_steps)

    @property
    def marginal_rates(self) -> tuple[float, ...]:
        """For each draft slot, the share of steps whose draft there was accepted."""
        longest = max(self.drafted_lengths, default=0)
        reached = [
            sum(steps for accepted, steps in self.histogram.items() if accepted > slot)
            for slot in range(longest)
        ]
        return tuple(steps / self.num_spec_steps for steps in reached)


def acceptance_of(answers: Iterable[Generation]) -> AcceptanceCounts:
    """Pool the drafts of some answers of one arm, step by step where every answer tells steps."""
    told = [(answer, totals) for answer in answers if (totals := answer.totals) is not None]
    by_step = all(answer.steps for answer, _ in told)
    # Loads numpy, which those who only name the class do without.
    from equivcheck.core.columns import steps_of

    all_steps = steps_of(answer for answer, _ in told if by_step)
    steps = all_steps[all_steps[:, 0] != 0]
    drafting = [totals for _, totals in told if totals.drafted]
    accepted = [totals.accepted for totals in drafting]
    drafted = [totals.drafted for totals in drafting]
    slots = zip_longest(*(totals.accepted_by_slot for totals in drafting), fillvalue=0)
    return AcceptanceCounts(
        prompts=len(drafting),
        num_steps=len(all_steps),
        num_spec_steps=len(steps),
        num_draft_tokens=sum(drafted),
        num_accepted_draft_tokens=sum(accepted),
        histogram=dict(sorted(Counter(steps[:, 1].tolist()).items())),
        drafted_lengths=dict(sorted(Counter(steps[:, 0].tolist()).items())),
        rate_interval=ratio_interval(accepted=accepted, drafted=drafted),
        accepted_by_slot=tuple(map(sum, slots)),
        by_step=by_step,
    )


def acceptance_by_workload(
    evidence: Evidence, *, arm: str = CANDIDATE
) -> dict[str, AcceptanceCounts]:
    """Acceptance of an arm for each workload it answered, in the order of the suites."""
    captured = evidence.captured.get(arm, {})
    answers = [captured[key].generation for key in evidence.asked if key in captured]
    gathered = by_workload(evidence, answers, key=lambda answer: answer.key)
    return {workload: acceptance_of(found) for workload, found in gathered.items()}


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
