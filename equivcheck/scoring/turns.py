"""Which draw of the rule each token came from, and what the engine told of q there."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from equivcheck.core.generation import Generation, Request
from equivcheck.core.rules import RULES, Rule
from equivcheck.records.score_table import Stage
from equivcheck.scoring.noise import NoiseKey, Use, key_of
from equivcheck.scoring.trace import NOTHING, tells_rejected, traced

UNKNOWN = 255
"""In the place of a `Use`: which one is not known."""
DRAWS = {Stage.ACCEPTED: Use.COIN, Stage.RECOVERED: Use.RESIDUAL, Stage.BONUS: Use.PLAIN}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Turns:
    """Columns of [N], N the tokens of all outputs in order."""

    keys: tuple[NoiseKey, ...]
    """Keys of each output."""
    output: NDArray[np.int64]
    """Which output."""
    position: NDArray[np.int64]
    """In the sequence, the prompt's tokens counted."""
    use: NDArray[np.uint8]
    """Use of the noise: COIN alone where a draft was accepted, RESIDUAL after a coin; or
    `UNKNOWN`."""
    token: NDArray[np.int64]
    draft: NDArray[np.int64]
    """Accepted or rejected here; `NOTHING` elsewhere."""
    told: NDArray[np.float64]
    """ln q of that draft by the engine's word; NaN where it says nothing."""
    weight: NDArray[np.float64]
    """ln(p - q) of the token by the engine's word, where it stands in a rejected draft's place; NaN
    elsewhere."""
    behind: NDArray[np.bool_]
    """Whether it stands behind an accepted draft of its own step."""
    whole: bool
    """Whether the rule judges blocks as a whole, and p - q is that of p carried."""


def turns(asked: Sequence[tuple[Request, Generation]], *, rule: Rule) -> Turns:
    """Read the outputs of an engine that draws by `rule`."""
    rows = [
        (place, len(request.prompt_ids) + at, *turn)
        for place, (request, generation) in enumerate(asked)
        for at, turn in enumerate(turns_of(generation, rule=rule))
    ]
    columns = zip(*rows, strict=True) if rows else [()] * 8
    output, position, use, token, draft, told, weight, behind = columns
    return Turns(
        keys=tuple(key_of(request) for request, _ in asked),
        output=np.array(output, np.int64),
        position=np.array(position, np.int64),
        use=np.array(use, np.uint8),
        token=np.array(token, np.int64),
        draft=np.array(draft, np.int64),
        told=np.array(told, np.float64),
        weight=np.array(weight, np.float64),
        behind=np.array(behind, np.bool_),
        whole=RULES[rule].carries,
    )


class TokenUse(NamedTuple):
    """One token."""

    use: int
    token: int
    draft: int
    told: float
    weight: float
    behind: bool = False


def turns_of(generation: Generation, *, rule: Rule) -> Iterator[TokenUse]:
    """The turns of one output."""
    if rule in ("coupled", "agreement"):
        for token in generation.token_ids:
            yield TokenUse(Use.SHARED, token, NOTHING, *UNTOLD)
        return
    stages = RULES[rule].stages and tells_rejected([generation])
    steps = traced(generation, stages=stages)
    behind = False
    for token, step, told in zip(generation.token_ids, steps, told_by(generation), strict=True):
        weight = told.weight if step.stage == Stage.RECOVERED else math.nan
        yield TokenUse(
            DRAWS.get(step.stage, UNKNOWN), token, step.draft, told.draft, weight, behind
        )
        behind = step.stage == Stage.ACCEPTED and not step.ends


class TokenReport(NamedTuple):
    """What the engine told in one token's place; NaN: nothing."""

    draft: float
    """ln q of the draft."""
    weight: float
    """ln(p - q) of the token, if it replaces a draft."""


UNTOLD = TokenReport(math.nan, math.nan)


def told_by(generation: Generation) -> list[TokenReport]:
    """What the engine told of each token."""
    found: list[TokenReport] = []
    for step in generation.steps:
        told, weight = step.draft_logprobs or (), step.residual_log_weight
        found += [
            TokenReport(
                told[at] if at < len(told) else math.nan,
                math.nan if weight is None or at != step.accepted else weight,
            )
            for at in range(step.emitted)
        ]
    length = len(generation.token_ids)
    # As in `traced`: what no step accounts for is the first token.
    return ([UNTOLD] * (length - len(found)) + found)[:length]
