"""Kinds of requests that speculation may treat alike: drafts of each have to be taken and refused.

A decoder that never accepts a draft is lossless, so nothing here is a fault: what one kind of
request never did was not put to the test on it, however busy the others were.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from equivcheck.core.cases import Sampling
from equivcheck.core.generation import Generation, Request

Asked = tuple[Request, Generation]
"""What was asked, and what came."""

CHANCE = 1e-3
"""How rarely a population that is like the others may be named."""
SHARE = 4
"""A population's rate may be lower than that of the others by this factor and still count as like
them. Over the bundled suites the lowest is 0.43 of the run's (cases with stop strings in
``smoke``): prompts differ, and drafts of one prompt are alike."""
MANY = 100
"""Drafts of one request of which some should have been accepted."""


def penalised(sampling: Sampling) -> bool:
    """Whether tokens count for less once they have been seen."""
    return bool(
        sampling.repetition_penalty != 1.0
        or sampling.presence_penalty
        or sampling.frequency_penalty
    )


BIASED = "prompts with biases"
POPULATIONS: dict[str, Callable[[Request], bool]] = {
    "greedy prompts": lambda request: request.sampling.greedy,
    "sampled prompts": lambda request: not request.sampling.greedy,
    "prompts with penalties": lambda request: penalised(request.sampling),
    BIASED: lambda request: bool(request.sampling.logit_bias),
    "prompts with stop strings": lambda request: bool(request.stop),
}
"""Name to whether a request belongs to it; a request may belong to several."""


class DraftTally(NamedTuple):
    """What became of drafts."""

    trials: int
    """Steps; answers, where not all of them tell their steps."""
    drafting: int
    """Trials with drafts."""
    drafted: int
    accepted: int

    @property
    def rejected(self) -> int:
        """Drafts that were not accepted."""
        return self.drafted - self.accepted


def tally(answers: Sequence[Generation]) -> DraftTally:
    """Count the drafts of some answers; those that tell nothing of them count for nothing."""
    told = [each for each in answers if each.totals is not None]
    by_step = all(each.steps for each in told)
    counts = [each.drafts_counted for each in told]
    trials, drafting = len(counts), sum(each.drafted > 0 for each in counts)
    if by_step:
        # Loads numpy, which is no part of what `checks` costs to import.
        from equivcheck.core.columns import steps_of

        steps = steps_of(told)
        trials, drafting = len(steps), int((steps[:, 0] > 0).sum())
    return DraftTally(
        trials=trials,
        drafting=drafting,
        drafted=sum(each.drafted for each in counts),
        accepted=sum(each.accepted for each in counts),
    )


def one_sided(asked: Sequence[Asked]) -> list[str]:
    """Populations in which something never happened that happens in the others, in words.

    A bias may leave one token to choose, so that every draft is right: prompts with biases need
    accepted drafts only, and count in no other population.
    """
    missing = []
    unbiased = [each for each in asked if not POPULATIONS[BIASED](each[0])]
    for name, belongs in POPULATIONS.items():
        among = asked if name == BIASED else unbiased
        own = tally([answer for request, answer in among if belongs(request)])
        others = tally([answer for request, answer in among if not belongs(request)])
        if not own.drafted:
            if telling(own.trials, part=others.drafting, whole=others.trials):
                missing.append(f"nothing was drafted for {name}")
        elif not own.accepted:
            if telling(own.drafted, part=others.accepted, whole=others.drafted):
                missing.append(f"none of {own.drafted:,} drafts for {name} was accepted")
        elif (
            not own.rejected
            and name != BIASED
            and telling(own.drafted, part=others.rejected, whole=others.drafted)
        ):
            missing.append(f"none of {own.drafted:,} drafts for {name} was rejected")
    return missing


def telling(trials: int, *, part: int, whole: int) -> bool:
    """Whether none in so many trials is too rare for what happened to a part of the others.

    Where each trial hits with chance r, none in n does with chance (1 - r)^n. Taken for r is the
    rate of the others over `SHARE`.
    """
    return whole > 0 and (1 - part / whole / SHARE) ** trials < CHANCE


def never_accepted(asked: Sequence[Asked]) -> Iterator[str]:
    """Requests with many drafts of which none was accepted."""
    for _, answer in asked:
        found = tally([answer])
        if found.drafted >= MANY and not found.accepted:
            yield f"{answer.key}: none of {found.drafted:,} drafts was accepted"
