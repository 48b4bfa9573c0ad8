"""What is known of every token to score before a model is asked. One row a token, numpy only."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from equivcheck.core.generation import Generation, Request
from equivcheck.records.score_table import CROSSING_GROUP, CROSSING_POSITIONS, Stage
from equivcheck.scoring.lookup import proposals
from equivcheck.scoring.neighbours import Neighbours
from equivcheck.scoring.trace import NOTHING, tells_rejected, traced

TRANSFORMS = 3
"""Randomised transforms of each token."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Places:
    """Columns of [N], N the tokens of all outputs in order; `NOTHING` where there is no token."""

    starts: NDArray[np.int64]
    """[outputs + 1]."""
    token: NDArray[np.int64]
    stage: NDArray[np.uint8]
    """As traced."""
    draft: NDArray[np.int64]
    """The draft that was accepted or rejected in this place."""
    proposed: NDArray[np.int64]
    """Where all of q lies, if drafts are certain: what was drafted in this place, or what prompt
    lookup would have proposed."""
    ends: NDArray[np.bool_]
    noise: NDArray[np.float64]
    """[N, `TRANSFORMS`], uniform."""
    earlier: NDArray[np.int64]
    """[N, `CROSSING_GROUP` - 1]: distinct tokens of earlier outputs of the group."""
    compared: NDArray[np.bool_]
    """Whether there are any such outputs, and the place is one that is compared."""
    twin: NDArray[np.uint8]
    twin_token: NDArray[np.int64]


def places(
    asked: Sequence[tuple[Request, Generation]],
    neighbours: Neighbours,
    *,
    stages: bool,
    lookup: bool = False,
    one_hot: bool = False,
) -> Places:
    """Collect the outputs' tokens and move `neighbours` on past them.

    Args:
        asked: in the order in which they were asked for.
        neighbours: of the outputs before.
        stages: whether steps tell the stages of the engine's rule.
        lookup: whether the draft distribution is that of prompt lookup.
        one_hot: whether it lies on the drafts that steps name: they are certain given the text
            before them, whatever the rule.
    """
    generations = [generation for _, generation in asked]
    named = tells_rejected(generations)
    stages, one_hot = stages and named, one_hot and named
    lengths = [len(generation.token_ids) for generation in generations]
    rows = sum(lengths)
    found = Places(
        starts=np.cumsum([0, *lengths], dtype=np.int64),
        token=np.zeros(rows, np.int64),
        stage=np.full(rows, Stage.UNKNOWN, np.uint8),
        draft=np.full(rows, NOTHING, np.int64),
        proposed=np.full(rows, NOTHING, np.int64),
        ends=np.zeros(rows, np.bool_),
        noise=np.zeros((rows, TRANSFORMS)),
        earlier=np.full((rows, CROSSING_GROUP - 1), NOTHING, np.int64),
        compared=np.zeros(rows, np.bool_),
        twin=np.zeros(rows, np.uint8),
        twin_token=np.full(rows, NOTHING, np.int64),
    )
    for place, (request, generation) in enumerate(asked):
        here = slice(int(found.starts[place]), int(found.starts[place + 1]))
        steps = traced(generation, stages=stages)
        found.token[here] = generation.token_ids
        found.stage[here] = [each.stage for each in steps]
        found.draft[here] = [each.draft for each in steps]
        found.ends[here] = [each.ends for each in steps]
        found.noise[here] = noise_of(request.key, tokens=lengths[place])
        if one_hot:
            found.proposed[here] = [each.draft for each in traced(generation, stages=True)]
        elif lookup:
            # What was really drafted goes before what another lookup would have drafted.
            fresh = proposals(request.prompt_ids, generation.token_ids)
            known = found.draft[here] != NOTHING
            found.proposed[here] = np.where(known, found.draft[here], fresh)
        found.earlier[here] = neighbours.earlier(generation)
        found.compared[here] = (np.arange(lengths[place]) < CROSSING_POSITIONS) & bool(
            neighbours.group
        )
        found.twin[here], found.twin_token[here] = neighbours.twins(generation)
        neighbours.add(generation)
    return found


def within(
    asked: Sequence[tuple[Request, Generation]], *, vocab: int
) -> tuple[list[tuple[Request, Generation]], NDArray[np.bool_]]:
    """The same outputs with ids that a model can read, and which of their tokens were none: [N].

    An engine can say anything. Ids outside the vocabulary are read as 0.
    """
    alien: list[bool] = []
    known = []
    for request, generation in asked:
        strange = [not 0 <= token < vocab for token in generation.token_ids]
        rejected = [step.first_rejected or 0 for step in generation.steps]
        if any(strange) or not all(0 <= token < vocab for token in rejected):
            tokens = zip(generation.token_ids, strange, strict=True)
            generation = msgspec.structs.replace(
                generation, token_ids=tuple(0 if odd else token for token, odd in tokens), steps=()
            )
        alien += strange
        known.append((request, generation))
    return known, np.array(alien, np.bool_)


def noise_of(key: str, *, tokens: int) -> NDArray[np.float64]:
    """Uniform numbers for an output's transforms, [tokens, `TRANSFORMS`].

    They depend on the request's key and the token's place alone, and on no engine's noise.
    """
    seed = hashlib.sha256(f"equivcheck transforms {key}".encode()).digest()
    generator = np.random.Generator(np.random.Philox(key=int.from_bytes(seed[:16], "little")))
    return generator.random((tokens, TRANSFORMS))
