"""What others use, on the same samples: an L2 heuristic and a two-sample test."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray

from equivcheck.records.score_table import BINS, ScoreTable, Support

Samples = NDArray[np.int64]
PERMUTATIONS, CLEAR = 60, 2.0
REACH = 3.719 + 1.645
"""Standard deviations: one-sided 1e-4, and 95 % power."""
SMALL, LARGE, IMPROVEMENT, REFERENCES = 10, 100_000, 20.0, 100


@dataclasses.dataclass(frozen=True, kw_only=True)
class TwoSample:
    """Tokens that the two-sample test takes, both arms together."""

    tokens: float
    resolved: bool
    """False: the effect was not clear in the pool, and `tokens` is what it takes at least."""


def l2_accuses(scores: ScoreTable, *, seed: int = 0) -> bool:
    """vLLM's convergence test, as described: is the distance not falling fast enough?

    From 10 to 100,000 samples the L2 distance to the distribution has to fall 20 times as much as
    that to 100 random distributions. Over the 30 bins, with distances as expected from the pool,
    whose own noise is taken out.
    """
    inside = scores.support == Support.INSIDE
    mass = scores.bin_mass[inside].astype(np.float64)
    distribution = mass.mean(axis=0)
    observed = np.bincount(scores.bin[inside], minlength=BINS) / len(mass)
    noise = float((mass * (1 - mass)).sum(axis=1).mean())
    bias = max(0.0, float(((observed - distribution) ** 2).sum()) - noise / len(mass))
    random = np.exp(np.random.default_rng(seed).random((REFERENCES, BINS)))
    random /= random.sum(axis=1, keepdims=True)
    away = float(((random - observed) ** 2).sum(axis=1).mean())

    def improvement(distance: float) -> float:
        return math.sqrt((distance + noise / SMALL) / (distance + noise / LARGE))

    return improvement(bias) <= IMPROVEMENT * improvement(away)


def mmd_hamming(samples: Samples, others: Samples) -> float:
    """Unbiased squared MMD under the Hamming kernel, [n, L] against [m, L] of one prompt.

    The kernel counts equal tokens position by position (Gao, Liang and Guestrin, arXiv 2410.20247),
    so it is a sum over positions that needs counts only.
    """
    total = 0.0
    n, m = len(samples), len(others)
    for mine, theirs in zip(samples.T, others.T, strict=True):
        _, places = np.unique(np.concatenate([mine, theirs]), return_inverse=True)
        a, b = (np.bincount(part, minlength=places.max() + 1) for part in np.split(places, [n]))
        total += float((a * (a - 1)).sum() / (n * (n - 1)) + (b * (b - 1)).sum() / (m * (m - 1)))
        total -= 2 * float((a * b).sum()) / (n * m)
    return total


def two_sample(ours: Samples, reference: Samples, *, prompts: int, seed: int = 0) -> TwoSample:
    """Tokens for 95 % power at 1e-4, by permuting outputs within their prompt.

    Args:
        ours: [outputs, L], prompts in turn.
        reference: the same of a sound decoder.
        prompts: how many.
        seed: of the permutations.
    """
    random = np.random.default_rng(seed)
    effect, null = 0.0, np.zeros(PERMUTATIONS)
    for prompt in range(prompts):
        mine, theirs = ours[prompt::prompts], reference[prompt::prompts]
        effect += mmd_hamming(mine, theirs)
        both = np.concatenate([mine, theirs])
        for turn in range(PERMUTATIONS):
            mixed = both[random.permutation(len(both))]
            null[turn] += mmd_hamming(mixed[: len(mine)], mixed[len(mine) :])
    spread = float(null.std())
    resolved = effect > CLEAR * spread
    at_most = effect if resolved else max(effect, 0.0) + CLEAR * spread
    sizes = 1 / (len(ours) / prompts) + 1 / (len(reference) / prompts)
    each = 2 * REACH * spread / (sizes * at_most)
    return TwoSample(tokens=2 * each * prompts * ours.shape[1], resolved=resolved)
