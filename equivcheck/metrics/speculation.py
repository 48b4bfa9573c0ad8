"""What follows from `drafted` and `accepted` of each verify step: names, definitions, intervals.

Field names are those of vLLM's per-request record. Undefined is None, never 0 or 1. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from msgspec import Struct

from equivcheck.core.generation import Generation
from equivcheck.metrics.estimates import Estimate
from equivcheck.statistics.acceptance_rate import acceptance_of


class Speculation(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Pooled over the steps that had drafts, except where it says all steps."""

    num_prompts: int
    """With at least one such step."""
    num_steps: int
    """All steps, also those without drafts."""
    num_spec_steps: int
    """0 of both where the engine tells counts and no steps: what is per step is None then."""
    num_draft_tokens: int
    num_accepted_draft_tokens: int
    """Bonus tokens excluded."""
    num_emitted_tokens: int
    """Tokens of all steps, after a stop cut them."""
    draft_acceptance_rate: Estimate
    """Accepted per drafted token; the only thing that is called an acceptance rate."""
    mean_acceptance_length: float | None
    """Tokens per verify step, bonus included; plain decoding is 1."""
    mean_acceptance_length_per_request: float | None
    """Mean over prompts of the same."""
    marginal_accept_rates: tuple[float, ...]
    """For each draft position, the share of steps in which it was accepted."""
    conditional_accept_rates: tuple[float | None, ...]
    """The same, of the steps in which the position before was accepted."""
    acceptance_histogram: dict[int, int]
    """Accepted drafts to steps."""
    wasted_draft_tokens: int
    """Drafted and not accepted."""
    accepted_per_verified: float | None
    """Emitted per verified slot, bonus included: what SGLang's gauge shows."""
    alpha: float | None
    """Conditional acceptance, censored-geometric maximum likelihood; for model curves only."""

    @property
    def tokens_per_step(self) -> float | None:
        """Tokens a step over all steps, before a stop cuts the last one."""
        return ratio(self.num_accepted_draft_tokens + self.num_steps, of=self.num_steps)

    @property
    def drafted_per_step(self) -> float | None:
        """Drafts a step over all steps."""
        return ratio(self.num_draft_tokens, of=self.num_steps)


def speculation_of(answers: Sequence[Generation]) -> Speculation:
    """Pool the steps of one arm's answers, one answer a prompt."""
    found = acceptance_of(answers)
    steps = [step for answer in answers for step in answer.steps]
    drafting = [step for step in steps if step.drafted]
    marginal = found.marginal_rates
    lengths = [
        1 + sum(step.accepted for step in of_prompt) / len(of_prompt)
        for answer in answers
        if (of_prompt := [step for step in answer.steps if step.drafted])
    ]
    accepted, drafted = found.num_accepted_draft_tokens, found.num_draft_tokens
    rejections = sum(step.accepted < step.drafted for step in drafting)
    return Speculation(
        num_prompts=found.prompts,
        num_steps=found.num_steps,
        num_spec_steps=found.num_spec_steps,
        num_draft_tokens=drafted,
        num_accepted_draft_tokens=accepted,
        num_emitted_tokens=sum(emitted_by(answer) for answer in answers),
        draft_acceptance_rate=Estimate(
            value=found.rate, interval=found.rate_interval, n=found.prompts
        ),
        mean_acceptance_length=found.mean_length,
        mean_acceptance_length_per_request=ratio(math.fsum(lengths), of=len(lengths)),
        marginal_accept_rates=marginal,
        conditional_accept_rates=tuple(
            ratio(reached, of=before)
            for reached, before in zip(marginal, (1.0, *marginal), strict=False)
        ),
        acceptance_histogram=found.histogram,
        wasted_draft_tokens=drafted - accepted,
        accepted_per_verified=ratio(accepted + len(drafting), of=drafted + len(drafting))
        if found.by_step
        else None,
        alpha=ratio(accepted, of=accepted + rejections) if found.by_step else None,
    )


def emitted_by(answer: Generation) -> int:
    """Tokens that its steps emitted, after a stop cut them; all where only counts are told."""
    if not answer.steps and answer.counts is not None:
        return len(answer.token_ids)
    return sum(step.emitted for step in answer.steps)


def ratio(part: float, *, of: float) -> float | None:
    """``part / of``, None where it is undefined."""
    return part / of if of else None
