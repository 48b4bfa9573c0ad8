"""Whether a draft's size can do any good, from checkpoint headers alone: no weights are loaded."""

from __future__ import annotations

import math

from equivcheck.pairs.locate import locate, read_config
from equivcheck.pairs.shapes import shape_named, widened_config
from equivcheck.pairs.sources import ModelSource
from equivcheck.pairs.weights import read_weights, weights_sha256

RATIO_LOW, RATIO_HIGH = 4.0, 10.0
REPEATED = "the draft is the target itself: every draft is accepted and nothing is gained"


def size_warnings(target: ModelSource, draft: ModelSource) -> tuple[str, ...]:
    """Say so if the draft repeats the target or is too large or too small for it.

    Raises:
        PairError: a model cannot be had.
    """
    same = weights_sha256(locate(target)) == weights_sha256(locate(draft))
    if same and (target.bits, target.shape) == (draft.bits, draft.shape):
        return (REPEATED,)
    ours, theirs = parameters_of(target), parameters_of(draft)
    ratio = ours / max(1, theirs)
    # A widened target is no better than the small one: a draft is as often right, however small.
    most = math.inf if target.shape else RATIO_HIGH
    if RATIO_LOW <= ratio <= most:
        return ()
    effect = (
        "drafting costs nearly as much as it saves"
        if ratio < RATIO_LOW
        else "so small a draft is seldom right"
    )
    return (
        f"the target has {ratio:.1f} times the draft's parameters ({ours:,} to "
        f"{theirs:,}), outside {RATIO_LOW:g} to {RATIO_HIGH:g}: {effect}",
    )


def parameters_of(source: ModelSource) -> int:
    """How many numbers a model has; of a widened one those of its blocks.

    Raises:
        PairError: the model cannot be had, or cannot be widened to its shape.
    """
    folder = locate(source)
    if source.shape is None:
        return read_weights(folder).parameters
    shape = shape_named(source.shape)
    head_dim: int = widened_config(read_config(folder, source), shape)["head_dim"]
    return shape.parameters(head_dim=head_dim)
