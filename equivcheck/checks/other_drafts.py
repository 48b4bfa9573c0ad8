"""Whether answers part behind other drafts, of which most rules make other tokens when sampling.

Of the same distribution, whatever the drafts are. A drafter that its neighbours disturb is slow and
not wrong; a draw that the same drafts turn into other tokens is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from equivcheck.core.generation import Generation, Step
from equivcheck.core.rules import RULES
from equivcheck.records.divergence import Pair
from equivcheck.records.records import CANDIDATE, Evidence


class Drafted(NamedTuple):
    """What a step put to the target."""

    place: int
    """Output tokens before it."""
    step: Step


def drafted_otherwise(evidence: Evidence, pair: Pair) -> bool:
    """Whether two answers of the candidate part where, or behind where, their drafts part.

    So they are taken to where the engine does not say what it drafted.
    """
    told = evidence.header.arms[CANDIDATE]
    sampling = evidence.asked[pair.key].request.sampling
    rule = RULES[told.rule]
    if pair.position is None or sampling.greedy or rule.same_tokens:
        return False
    if not told.num_speculative_tokens:
        return False
    for one, other in zip(_steps(pair.target), _steps(pair.other), strict=False):
        if one.place > pair.position:
            return False
        if one.place != other.place or not _alike(one.step, other.step, whole=rule.carries):
            return True
    return not (pair.target.steps and pair.other.steps)


def _steps(generation: Generation) -> Iterator[Drafted]:
    # What no step accounts for is the first token, drawn while the prompt was read.
    place = len(generation.token_ids) - sum(step.emitted for step in generation.steps)
    for step in generation.steps:
        yield Drafted(place, step)
        place += step.emitted


def _alike(one: Step, other: Step, *, whole: bool) -> bool:
    """Whether two steps judged the same drafts from the same q, as far as both judged any.

    Where a block is judged as a whole, all drafts are: of q behind a rejected one nothing is told,
    so that two steps which accept other numbers of them may have had another one there.
    """
    if one.drafted != other.drafted:
        return False
    if not one.drafted:
        return True
    if one.drafts is None or other.drafts is None:
        return False
    judged = one.drafted if whole else min(one.accepted, other.accepted) + 1
    if one.drafts[:judged] != other.drafts[:judged]:
        return False
    ours, theirs = one.draft_logprobs or (), other.draft_logprobs or ()
    return ours[:judged] == theirs[:judged]
