"""T8: tokens alone, where nobody can score them: do two engines draw the same outputs?

Whole outputs are permuted between the engines within each prompt, so no distribution has to be
known. Far weaker than scores: only marginals of positions are compared, and small departures take a
hundred times the tokens and more.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from equivcheck.statistics.preflight import POWER_QUANTILE

ALPHA = 1e-3
"""For all statistics together: permutations resolve no smaller one at a bearable price."""
PERMUTATIONS = 9_999
POSITIONS = 16
"""Output positions compared, from the first."""
BLOCK = 1_000
"""Permutations worked on at once."""
SEED = 1
STATISTICS = ("all positions", "first token", "second token")
ENDED = -1
"""Stands in the positions behind an output's end."""

Tokens = Sequence[Sequence[int]]
Values = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, kw_only=True)
class PermutationTest:
    """What permutation says."""

    outputs: int
    """Outputs of both engines."""
    prompts: int
    p_values: dict[str, float]
    """By `STATISTICS`, each uncorrected."""
    detectable: float
    """Probability that, moved from one token to one other at every position compared, would have
    shown with 99 % probability; 1 where nothing would."""

    @property
    def p_value(self) -> float:
        """p-value of all statistics together (Bonferroni)."""
        if not self.p_values:
            return 1.0
        return min(1.0, len(self.p_values) * min(self.p_values.values()))


def compare(outputs: Mapping[str, tuple[Tokens, Tokens]]) -> PermutationTest:
    """Test whether two engines draw from one distribution, prompt by prompt.

    Args:
        outputs: Prompt to the outputs of each engine. Prompts with fewer than two of either say
            nothing and are left out.

    The first statistic is the unbiased squared MMD under the Hamming kernel (Gao, Liang and
    Guestrin, arXiv 2410.20247), from counts: a kernel matrix is never made. The others are
    chi-square statistics of homogeneity at one position. The same permutations serve all three,
    and are the same in every process.
    """
    random = np.random.default_rng(SEED)
    usable = {key: pair for key, pair in outputs.items() if min(map(len, pair)) >= 2}
    observed = np.zeros(len(STATISTICS))
    movable = spread = 0.0
    permuted = np.zeros((PERMUTATIONS, len(STATISTICS)))
    for ours, theirs in usable.values():
        prompt = _Prompt(ours, theirs)
        movable += prompt.movable
        spread += prompt.spread
        observed += prompt.statistics(prompt.labels[None])[0]
        for start in range(0, PERMUTATIONS, BLOCK):
            size = min(BLOCK, PERMUTATIONS - start)
            shuffled = random.permuted(np.tile(prompt.labels, (size, 1)), axis=1)
            permuted[start : start + size] += prompt.statistics(shuffled)
    # Rounding must not tell an arrangement from its equal.
    reached = permuted >= observed - 1e-9 * np.abs(observed)
    p_values = (1 + reached.sum(axis=0)) / (PERMUTATIONS + 1)
    return PermutationTest(
        outputs=sum(len(ours) + len(theirs) for ours, theirs in usable.values()),
        prompts=len(usable),
        p_values=dict(zip(STATISTICS, p_values.tolist(), strict=True)) if usable else {},
        detectable=_detectable(permuted[:, 0], movable=movable, spread=spread),
    )


class _Prompt:
    """The outputs of both engines for one prompt."""

    def __init__(self, ours: Tokens, theirs: Tokens) -> None:
        rows = [[*row[:POSITIONS], *[ENDED] * (POSITIONS - len(row))] for row in (*ours, *theirs)]
        tokens = np.array(rows, dtype=np.int64)
        reached = (tokens != ENDED).mean(axis=0) ** 2
        self.movable = float(reached.sum())
        """Squared shares of outputs that reach a position, over all of them: at most POSITIONS."""
        self.spread = 0.0
        """The same, each times what the two likeliest tokens there have of all outputs, over the
        outputs of an engine."""
        self.labels = np.array([1.0] * len(ours) + [0.0] * len(theirs))
        cells = np.empty_like(tokens)
        position: list[int] = []
        for place in range(POSITIONS):
            known, which, counts = np.unique(
                tokens[:, place], return_inverse=True, return_counts=True
            )
            likeliest = np.sort(counts[known != ENDED])[-2:].sum() / len(rows)
            self.spread += float(reached[place] * likeliest) * (1 / len(ours) + 1 / len(theirs))
            cells[:, place] = len(position) + which
            position += [place] * len(known)
        outputs = np.repeat(np.arange(len(rows)), POSITIONS)
        self.seen = csr_array(
            (np.ones(cells.size), (outputs, cells.ravel())), shape=(len(rows), len(position))
        )
        """[outputs, tokens of positions]: which output has which token where."""
        self.total = np.bincount(cells.ravel(), minlength=len(position)).astype(np.float64)
        self.position = np.array(position)

    def statistics(self, labels: Values) -> Values:
        """[arrangements, outputs] to [arrangements, STATISTICS]."""
        here = np.asarray((self.seen.T @ labels.T).T)
        there = self.total - here
        n, m = labels[0].sum(), (1 - labels[0]).sum()
        within = (here**2 - here) / (n * (n - 1)) + (there**2 - there) / (m * (m - 1))
        found = [(within - 2 * here * there / (n * m)).sum(axis=1)]
        expected = self.total * n / (n + m)
        excess = (here - expected) ** 2 * (1 / expected + 1 / (self.total - expected))
        found += [excess[:, self.position == place].sum(axis=1) for place in (0, 1)]
        return np.stack(found, axis=1)


def _detectable(permuted: Values, *, movable: float, spread: float) -> float:
    """Moved probability that takes the first statistic over its threshold in spite of its noise.

    Moving e from one token to another adds 2 (s e)^2 to it at a position that a share s of the
    outputs reaches; `movable` sums s^2 over prompts and positions. It adds to the variance of the
    noise, too: 4 (s e)^2 times the probability of both tokens, over the outputs of each engine,
    which `spread` sums for the two likeliest tokens. So u = e^2 solves
    2 movable u = threshold + quantile sqrt(variance + 4 spread u).
    """
    if not movable:
        return 1.0
    threshold = max(0.0, float(np.quantile(permuted, 1 - ALPHA / len(STATISTICS))))
    squared = POWER_QUANTILE**2
    half = movable * threshold + squared * spread
    rest = threshold**2 - squared * float(permuted.var())
    moved = (half + math.sqrt(max(0.0, half**2 - movable**2 * rest))) / (2 * movable**2)
    return round(min(1.0, math.sqrt(moved)), 6)
