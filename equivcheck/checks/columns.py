"""Whether a packed answer is sound, told from whole columns at once.

Each function says only that a check would find nothing in an answer, and is sure where it says so.
Where it is not, the check looks token by token and finds the words. What is not packed is never
sure here.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from equivcheck.core.engine import Capabilities
from equivcheck.core.generation import Generation
from equivcheck.core.packed_sequences import Array, PackedInts, PackedScores
from equivcheck.core.packed_steps import PackedSteps

FEW = 8
SURE = 1e-9
"""Share by which a sum has to stay within its bound to be sure of it: sums and exponentials of
numpy differ from those of `math` in their last bits, 1e-16 each."""


def holds_none_of(tokens: Sequence[int], ids: Collection[int], *, vocab: int) -> bool:
    """Whether all tokens are ids of a vocabulary, and none of these."""
    if not isinstance(tokens, PackedInts) or not len(tokens):
        return False
    values = tokens.values
    if values.min() < 0 or values.max() >= vocab:
        return False
    return not _is_any(values, ids).any()


def first_of(tokens: Sequence[int], ids: Collection[int]) -> int | None:
    """The first index at which one of some ids stands."""
    if isinstance(tokens, PackedInts):
        return first_true(_is_any(tokens.values, ids))
    return next((at for at, token in enumerate(tokens) if token in ids), None)


def _is_any(values: Array, ids: Collection[int]) -> Array:
    """Where one of some ids stands: for few of them faster than `numpy.isin`."""
    found = np.zeros(len(values), dtype=np.bool_)
    if len(ids) > FEW:
        return np.isin(values, list(ids))
    for each in ids:
        found |= values == each
    return found


def counters_add_up(generation: Generation, capabilities: Capabilities) -> bool:
    """Whether `counters.faults_of` finds nothing."""
    steps: object = generation.steps
    if not isinstance(steps, PackedSteps) or generation.counts is not None:
        return False
    drafted, accepted, emitted = steps.counts.astype(np.int64).T
    told = steps.drafts.lengths if steps.drafts is not None else np.full(len(drafted), -1)
    named = told > accepted
    if steps.rejected is not None:
        named |= ~np.isnan(steps.rejected)
    return bool(
        ((accepted >= 0) & (accepted <= drafted) & (emitted >= 1)).all()
        and drafted.max() <= capabilities.num_speculative_tokens
        and (emitted[:-1] == accepted[:-1] + 1).all()
        and emitted[-1] <= accepted[-1] + 1
        and emitted.sum() == len(generation.token_ids)
        and (not capabilities.reports_rejected or (named == (accepted < drafted)).all())
        and ((told == -1) | (told == drafted)).all()
        and _judged_right(steps, generation.token_ids)
    )


def _judged_right(steps: PackedSteps, tokens: Sequence[int]) -> bool:
    """Whether drafts, where told, begin what was emitted as `accepted` says.

    Steps emit one token at least, and all of them the whole output.
    """
    if steps.drafts is None or not len(steps.drafts.values) or not isinstance(tokens, PackedInts):
        return steps.drafts is None or not len(steps.drafts.values)
    _, accepted, emitted = steps.counts.astype(np.int64).T
    lengths = steps.drafts.lengths
    at = np.cumsum(emitted) - emitted
    kept = lengths > 0
    lengths, accepted, emitted, at = lengths[kept], accepted[kept], emitted[kept], at[kept]
    starts = np.cumsum(lengths) - lengths
    slot = np.arange(len(steps.drafts.values)) - np.repeat(starts, lengths)
    place = np.repeat(at, lengths) + slot
    inside = slot < np.repeat(emitted, lengths)
    values = tokens.values[np.minimum(place, len(tokens) - 1)]
    same = inside & (values == steps.drafts.values)
    alike = np.minimum.reduceat(np.where(same, np.iinfo(np.int64).max, slot), starts)
    alike = np.minimum(alike, lengths)
    cut = alike == emitted
    return bool(np.where(cut, accepted >= alike - 1, accepted == alike).all())


def scores_agree(
    scores: Sequence[object],
    tokens: Sequence[int],
    *,
    slack: float,
    greedy: bool,
) -> bool:
    """Whether no score contradicts itself or its token, one score a token."""
    if not isinstance(scores, PackedScores) or not isinstance(tokens, PackedInts):
        return False
    if len(scores) != len(tokens):
        return False
    own, others = scores.logprobs.T
    # Above 1 they are no log-probabilities; their exponentials would overflow.
    return bool(
        not len(tokens)
        or (
            max(own.max(), others.max()) < 1
            and (scores.rivals != tokens.values).all()
            and (np.exp(own) + np.exp(others)).max() <= (1 + slack) * (1 - SURE)
            and (not greedy or (own >= others - slack).all())
        )
    )


def scores_follow(
    scores: Sequence[object], reference: Sequence[float], *, allowed: float, mean: float
) -> bool:
    """Whether log-probabilities keep within ``allowed`` of a reference, and on average ``mean``."""
    if not isinstance(scores, PackedScores) or len(scores) != len(reference):
        return False
    off = np.abs(scores.logprobs[:, 0] - np.array(reference, dtype=np.float64))
    return bool(not len(off) or (off.max() <= allowed and off.mean() <= mean * (1 - SURE)))


def all_zero(scores: Sequence[object]) -> bool:
    """Whether every log-probability is 0; also where that is not known here."""
    return not isinstance(scores, PackedScores) or not scores.logprobs[:, 0].any()


def first_other(one: Sequence[int] | None, other: Sequence[int] | None) -> int | None:
    """The first index at which two sequences differ, up to where the shorter ends."""
    if (
        isinstance(one, PackedInts)
        and isinstance(other, PackedInts)
        # Integers of different kinds are compared as floats by some versions of numpy.
        and one.values.dtype == other.values.dtype
    ):
        return first_true(differing(one.values, other.values))
    pairs = enumerate(zip(one or (), other or (), strict=False))
    return next((at for at, (left, right) in pairs if left != right), None)


def first_other_bits(one: object, other: object) -> int | None:
    """The first index at which two answers' packed scores differ in their bits.

    Raises:
        TypeError: they are not packed.
    """
    if not isinstance(one, PackedScores) or not isinstance(other, PackedScores):
        raise TypeError("scores that are not packed")
    own, others = (each.logprobs.view(np.int64) for each in (one, other))
    common = min(len(own), len(others))
    bits = (own[:common] != others[:common]).any(axis=1)
    return first_true(bits | differing(one.rivals, other.rivals))


def differing(one: Array, other: Array) -> Array:
    """Where two columns differ, up to where the shorter ends."""
    common = min(len(one), len(other))
    found: Array = one[:common] != other[:common]
    return found


def first_true(found: Array) -> int | None:
    """The first index at which something holds."""
    return int(found.argmax()) if found.any() else None
