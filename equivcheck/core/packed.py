"""Answers in little memory: the numbers of a `Generation` as arrays behind the sequences they were.

A token with its score, fingerprint and step takes some 60 bytes instead of 400. Whoever reads item
by item sees the same records as before; whoever can work on whole columns takes these. Only readers
of stored runs pack, so only they load numpy. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from msgspec.structs import replace

from equivcheck.core.generation import Generation, TokenScore
from equivcheck.core.packed_sequences import Array, Packed, PackedInts, PackedScores, column
from equivcheck.core.packed_steps import PackedSteps


def packed(generation: Generation) -> Generation:
    """The same answer in little memory; itself if it is packed.

    Raises:
        OverflowError: a number lies outside of what any decoder can mean.
    """
    if isinstance(generation.token_ids, Packed):
        return generation
    scores, digests = generation.scores, generation.logit_digests
    return replace(
        generation,
        token_ids=PackedInts(column("i", generation.token_ids)),
        steps=PackedSteps(generation.steps) if generation.steps else (),
        scores=None if scores is None else _scores(scores),
        logit_digests=None if digests is None else _fingerprints(digests),
    )


def unpacked(generation: Generation) -> Generation:
    """The answer as it was before it was packed; itself if it never was."""
    told = {
        name: value.unpacked()
        for name in ("token_ids", "steps", "scores", "logit_digests")
        if isinstance(value := getattr(generation, name), Packed)
    }
    return replace(generation, **told) if told else generation


def columns_of(generation: Generation) -> dict[str, Array]:
    """The numbers of a packed answer by name, but for times; what is not told has no column."""
    found = {"token_ids": _values(generation.token_ids)}
    if isinstance(steps := cast("object", generation.steps), PackedSteps):
        found["steps"] = steps.counts
        found["rejected"], found["residual_log_weight"] = steps.rejected, steps.residual_log_weight
        for name, told in (("drafts", steps.drafts), ("draft_logprobs", steps.draft_logprobs)):
            found[f"{name}.lengths"] = None if told is None else told.lengths
            found[name] = None if told is None else told.values
    if isinstance(scores := cast("object", generation.scores), PackedScores):
        found["logprobs"], found["rivals"] = scores.logprobs, scores.rivals
    found["logit_digests"] = _values(generation.logit_digests)
    return {name: values for name, values in found.items() if values is not None}


def without_columns(generation: Generation) -> Generation:
    """What of a packed answer stands in none of its columns."""
    digests = generation.logit_digests
    left = None if isinstance(digests, Packed) else digests
    return replace(generation, token_ids=(), steps=(), scores=None, logit_digests=left)


def _values(numbers: object) -> Array | None:
    return numbers.values if isinstance(numbers, PackedInts) else None


def _scores(scores: Sequence[TokenScore]) -> PackedScores:
    logprobs = [score.logprob for score in scores] + [score.rival_logprob for score in scores]
    rivals = column("i", [score.rival for score in scores])
    return PackedScores(column("d", logprobs).reshape(2, -1).T, rivals)


def _fingerprints(digests: tuple[int, ...]) -> Any:
    for kind in "qQ":
        try:
            return PackedInts(column(kind, digests))
        except OverflowError:
            continue
    return digests
