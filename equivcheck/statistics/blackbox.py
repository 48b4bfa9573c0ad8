"""Tokens against tokens: whether two decoders' draws for the same prompts can be told apart.

For targets that cannot score text. It needs no model and knows none, takes far more tokens than
scores do, and compares each position by itself: dependence between positions or between requests,
and small shifts of probability, it does not see.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from equivcheck.statistics.wealth import Logs

Draws: TypeAlias = Mapping[str, Sequence[Sequence[int]]]
"""Prompt to the outputs drawn for it, as token ids."""

POSITIONS = 16
"""Of each output, from the first."""
PERMUTATIONS = 9_999
AT_ONCE = 500
"""Permutations held in memory together."""
POWER_QUANTILE = 2.326
"""Standard normal quantile of the power, 99 %, that `BlackBox.visible` is for."""
ENDED = -1
"""Stands for a token at positions beyond an output's end."""
MARGINALS, FIRST, SECOND = "marginals", "first token", "second token"
STATISTICS = (MARGINALS, FIRST, SECOND)


@dataclasses.dataclass(frozen=True, kw_only=True)
class BlackBox:
    """What tokens alone say."""

    alpha: float
    prompts: int
    """With outputs of both arms."""
    outputs: int
    """Of both arms together."""
    tokens: int
    """Of these, those that were compared: at most `POSITIONS` an output."""
    p_values: dict[str, float]
    """Statistic to its own p-value, by permutation."""
    visible: float
    """Probability that, moved from one token to one other at every position compared, is seen
    with 99 % probability; 1 where nothing would be."""
    most_different: str | None
    """The prompt whose marginals differ most beyond chance. A hint, with no error rate."""

    @property
    def p_value(self) -> float:
        """The smallest p-value, corrected for the number of statistics (Bonferroni)."""
        return min(1.0, len(STATISTICS) * min(self.p_values.values(), default=1.0))

    @property
    def broken(self) -> bool:
        """Whether the arms draw from different laws, wrongly said with probability alpha."""
        return self.p_value <= self.alpha


def compare(
    *,
    candidate: Draws,
    target: Draws,
    alpha: float,
    seed: int = 0,
    permutations: int = PERMUTATIONS,
) -> BlackBox:
    """Permute whole outputs within each prompt, and see how odd the true labels are.

    Three statistics, summed over prompts. `MARGINALS` is the squared maximum mean discrepancy of
    the kernel that counts equal positions, ``sum (n_x / n - m_x / m)^2`` over positions and tokens
    x (Gao et al., Model Equality Testing, arXiv 2410.20247), from counts instead of pairs. The two
    others are the chi-square statistic of homogeneity at one position. Each p-value is
    ``(1 + permutations as extreme) / (1 + permutations)``, exact under any law (Phipson and Smyth
    2010), for one look.

    Args:
        candidate: Draws of the arm under test; prompts without draws of both arms are left out.
        target: Draws of the reference.
        alpha: Level of the whole test.
        seed: Of the permutations.
        permutations: How many; p-values are no smaller than one in so many.
    """
    shared = [prompt for prompt in candidate if candidate[prompt] and target.get(prompt)]
    random = np.random.default_rng(seed)
    observed = np.zeros(len(STATISTICS))
    drawn = np.zeros((permutations, len(STATISTICS)))
    tokens, oddest = 0, (0.0, "")
    for prompt in shared:
        outputs = [tuple(output[:POSITIONS]) for output in (*candidate[prompt], *target[prompt])]
        tokens += sum(len(output) for output in outputs)
        cells = _Cells(outputs, first=len(candidate[prompt]))
        own = cells.statistics(cells.labels[None])[0]
        chance = np.concatenate(list(cells.permuted(random, permutations)))
        observed += own
        drawn += chance
        marginals = chance[:, 0]
        oddness = (own[0] - marginals.mean()) / max(float(marginals.std()), 1e-12)
        oddest = max(oddest, (float(oddness), prompt), key=lambda pair: pair[0])
    return BlackBox(
        alpha=alpha,
        prompts=len(shared),
        outputs=sum(len(candidate[prompt]) + len(target[prompt]) for prompt in shared),
        tokens=tokens,
        p_values=dict(zip(STATISTICS, _p_values(observed, drawn), strict=True)) if shared else {},
        visible=_visible(drawn[:, 0], places=len(shared) * POSITIONS, alpha=alpha),
        most_different=oddest[1] or None,
    )


class _Cells:
    """Outputs of one prompt as counts of (position, token)."""

    def __init__(self, outputs: Sequence[Sequence[int]], *, first: int) -> None:
        """The first so many outputs are the candidate's."""
        whole = np.full((len(outputs), POSITIONS), ENDED, dtype=np.int64)
        for row, output in enumerate(outputs):
            whole[row, : len(output)] = output
        self.sizes = (first, len(outputs) - first)
        self.labels = np.repeat([1.0 / first, -1.0 / self.sizes[1]], self.sizes)
        every = np.empty(whole.shape, dtype=np.int64)
        start = 0
        edges = []
        for position in range(POSITIONS):
            _, inverse = np.unique(whole[:, position], return_inverse=True)
            every[:, position] = start + inverse
            start += int(inverse.max()) + 1
            edges.append(start)
        rows = np.repeat(np.arange(len(outputs)), POSITIONS)
        ones = np.ones(every.size)
        self.counts = csr_array((ones, (rows, every.ravel())), shape=(len(outputs), start))
        totals = np.asarray(self.counts.sum(axis=0)).ravel()
        chi = self.sizes[0] * self.sizes[1] / totals
        place = np.searchsorted(edges, np.arange(start), side="right")
        self.weights = np.stack(
            [np.ones(start), np.where(place == 0, chi, 0.0), np.where(place == 1, chi, 0.0)], axis=1
        )

    def statistics(self, labels: Logs) -> Logs:
        """[labellings, outputs] to [labellings, statistics]."""
        difference = np.asarray((self.counts.T @ labels.T).T)
        return np.asarray(difference**2 @ self.weights, dtype=np.float64)

    def permuted(self, random: np.random.Generator, permutations: int) -> Iterator[Logs]:
        """The statistics of random labellings, some at a time."""
        for start in range(0, permutations, AT_ONCE):
            count = min(AT_ONCE, permutations - start)
            tiled = np.tile(self.labels, (count, 1))
            yield self.statistics(random.permuted(tiled, axis=1))


def _p_values(observed: NDArray[np.float64], drawn: Logs) -> list[float]:
    # Sums of the same counts in another order differ in their last bits.
    extreme = (drawn >= observed * (1.0 - 1e-9)).sum(axis=0)
    return [(1 + int(count)) / (1 + len(drawn)) for count in extreme]


def _visible(chance: NDArray[np.float64], *, places: int, alpha: float) -> float:
    """Moving e between two tokens adds 2 e^2 a place; the rest is the permutations' spread."""
    level = alpha / len(STATISTICS)
    if not places or (1 + len(chance)) * level < 1.0:
        return 1.0
    needed = float(np.quantile(chance, 1.0 - level) - chance.mean())
    needed += POWER_QUANTILE * float(chance.std())
    return min(1.0, math.sqrt(needed / (2.0 * places))) if needed > 0.0 else 1.0
