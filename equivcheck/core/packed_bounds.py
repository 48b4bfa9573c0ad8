"""Whether a packed answer lies within `bounds.py`, told from whole columns at once.

Says only whether: what lies outside, and by how much, is for `out_of_bounds` to say.
"""

from __future__ import annotations

import numpy as np
from msgspec.structs import replace

from equivcheck.core.bounds import (
    MOST_DRAFTED,
    TOKEN_IDS,
    RequestLimits,
    out_of_bounds,
    totals_outside,
)
from equivcheck.core.generation import Generation
from equivcheck.core.packed_sequences import Array, Packed, PackedScores
from equivcheck.core.packed_steps import PackedSteps, Ragged


def within_bounds(answer: Generation, limits: RequestLimits) -> bool:
    """Whether `out_of_bounds` finds nothing in an answer as `packed` returns it.

    Ids and counts that no array of their kind holds were refused as it was packed.
    """
    parts = (answer.token_ids, answer.steps, answer.scores or (), answer.logit_digests or ())
    lengths = [len(each) for each in parts]
    if limits.tokens is not None and max(lengths) > limits.tokens:
        return False
    steps: object = answer.steps
    if isinstance(steps, PackedSteps) and not _steps(steps):
        return False
    scores: object = answer.scores
    if isinstance(scores, PackedScores) and not np.isfinite(scores.logprobs).all():
        return False
    digests: object = answer.logit_digests
    if digests is not None and not isinstance(digests, Packed):
        left = replace(answer, token_ids=(), steps=(), scores=None)
        return out_of_bounds(left, limits) is None
    return next(totals_outside(answer, limits), None) is None


def _steps(steps: PackedSteps) -> bool:
    counts = steps.counts
    drafted, least = counts[:, 0], counts.min(axis=0).tolist()
    return bool(
        least[0] >= 0
        and drafted.max() <= MOST_DRAFTED
        and least[1] >= -1
        and least[2] >= 0
        # Accepted and emitted: one more than drafted at most.
        and (counts - drafted[:, None]).max() <= 1
        and _times(steps.seconds)
        and _ids(steps.rejected)
        and (steps.drafts is None or steps.drafts.lengths.max() <= MOST_DRAFTED)
        and _finite(steps.draft_logprobs)
        and _told_finite(steps.residual_log_weight)
    )


def _times(seconds: Array | None) -> bool:
    """Where a step has no time there is a NaN, which no stored time can be."""
    if seconds is None:
        return True
    least, most = np.fmin.reduce(seconds), np.fmax.reduce(seconds)
    return bool(least >= 0 and most < np.inf)


def _told_finite(values: Array | None) -> bool:
    """Where a step tells none there is a NaN, which no stored number can be."""
    return values is None or bool(np.isfinite(values[~np.isnan(values)]).all())


def _ids(told: Array | None) -> bool:
    if told is None:
        return True
    least, most = TOKEN_IDS
    return bool(least <= np.fmin.reduce(told) and np.fmax.reduce(told) <= most)


def _finite(told: Ragged | None) -> bool:
    if told is None:
        return True
    return bool(told.lengths.max() <= MOST_DRAFTED and np.isfinite(told.values).all())
