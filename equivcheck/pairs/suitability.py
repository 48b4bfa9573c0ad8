"""Whether a draft's size can do any good, from checkpoint headers alone: no weights are loaded."""

from __future__ import annotations

from equivcheck.pairs.locate import locate
from equivcheck.pairs.sources import ModelSource
from equivcheck.pairs.weights import read_weights, weights_sha256

RATIO_LOW, RATIO_HIGH = 4.0, 10.0
REPEATED = "the draft is the target itself: every draft is accepted and nothing is gained"


def size_warnings(target: ModelSource, draft: ModelSource) -> tuple[str, ...]:
    """Say so if the draft repeats the target or is too large or too small for it.

    Raises:
        PairError: a model cannot be had.
    """
    folders = locate(target), locate(draft)
    ours, theirs = (read_weights(folder) for folder in folders)
    if weights_sha256(folders[0]) == weights_sha256(folders[1]):
        return (REPEATED,)
    ratio = ours.parameters / max(1, theirs.parameters)
    if RATIO_LOW <= ratio <= RATIO_HIGH:
        return ()
    effect = (
        "drafting costs nearly as much as it saves"
        if ratio < RATIO_LOW
        else "so small a draft is seldom right"
    )
    return (
        f"the target has {ratio:.1f} times the draft's parameters ({ours.parameters:,} to "
        f"{theirs.parameters:,}), outside {RATIO_LOW:g} to {RATIO_HIGH:g}: {effect}",
    )
