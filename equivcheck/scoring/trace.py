"""Which stage of the engine's rule each token came from, read off its steps."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from equivcheck.core.generation import Generation
from equivcheck.records.score_table import Stage

NOTHING = -1
"""In the place of a token: there is none."""


class Traced(NamedTuple):
    """One token."""

    stage: Stage
    draft: int
    """The draft in its place: accepted or rejected; `NOTHING` elsewhere."""
    ends: bool
    """Whether it is the last of its step or output."""


def tells_rejected(generations: Iterable[Generation]) -> bool:
    """Whether every step that rejected a draft says which."""
    return all(
        step.first_rejected is not None
        for generation in generations
        for step in generation.steps
        if step.accepted < step.drafted and step.emitted > step.accepted
    )


def traced(generation: Generation, *, stages: bool) -> list[Traced]:
    """Read the steps of one output, an entry a token.

    A step's tokens are its accepted drafts and one more: in the place of a rejected draft where one
    was rejected, behind them all otherwise. A stop rule may have cut it anywhere. One token that no
    step accounts for is the first, drawn while the prompt was read. Steps that fit the output in
    neither way say nothing.

    Args:
        generation: output and steps.
        stages: whether they mean anything by the engine's rule.
    """
    length = len(generation.token_ids)
    told = sum(step.emitted for step in generation.steps)
    found: list[Traced] = []
    if told == length - 1 and generation.steps:
        found.append(Traced(Stage.BONUS, NOTHING, ends=True))
    elif told != length or not generation.steps:
        return [Traced(Stage.UNKNOWN, NOTHING, ends=at == length - 1) for at in range(length)]
    for step in generation.steps:
        for slot in range(step.emitted):
            ends = slot == step.emitted - 1
            token = generation.token_ids[len(found)]
            if slot < step.accepted:
                found.append(Traced(Stage.ACCEPTED, token, ends))
            elif slot > step.accepted:
                found.append(Traced(Stage.UNKNOWN, NOTHING, ends))
            elif step.accepted == step.drafted:
                found.append(Traced(Stage.BONUS, NOTHING, ends))
            elif (rejected := step.first_rejected) is not None:
                found.append(Traced(Stage.RECOVERED, rejected, ends))
            else:
                found.append(Traced(Stage.UNKNOWN, NOTHING, ends))
    if stages:
        return found
    return [Traced(Stage.UNKNOWN, NOTHING, each.ends) for each in found]
