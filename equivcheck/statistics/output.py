"""T2, the core: emitted tokens against the target's distribution, whatever algorithm drew them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from equivcheck.records.score_table import ScoreTable, Support
from equivcheck.statistics.bins import KAPPAS, adaptive_factors
from equivcheck.statistics.wealth import Logs, log_wealth, mean_of, staked

RANKS = 20
"""Cells of the transform of tokens by falling p."""


class OutputFactors:
    """What of the output test does not depend on which rows are pooled."""

    def __init__(self, scores: ScoreTable) -> None:
        """Read the columns; rows that arithmetic may have cut (`Support.BORDER`) stay neutral."""
        self.inside = scores.support == Support.INSIDE
        ratio = np.where(self.inside[:, None], scores.log_ratio.astype(np.float64), 0.0)
        self.library = staked(ratio)
        self._cells = scores.bin.astype(np.int64)
        self._mass = scores.bin_mass
        ranks = np.minimum(scores.pit_rank.astype(np.float64) * RANKS, RANKS - 1)
        self._ranks = np.where(self.inside, ranks, 0.0).astype(np.int64)

    def process(self, rows: NDArray[np.int64]) -> Logs:
        """Log e-process over these rows in order, [len(rows)].

        Half is the uniform mixture of the alternatives, with factor ``.98 r(x)/p(x) + .02``, of
        mean ``.98 r(p > 0) + .02 <= 1`` under p; half adaptive bins, of ln(q/p) and p and of the
        token's rank, which is uniform under p: a cut at too small a mass leaves the last empty.
        """
        library = self.library[rows]
        inside = self.inside[rows]
        learned = np.zeros((len(rows), 2 * len(KAPPAS)))
        kept = rows[inside]
        uniform = np.full((len(kept), RANKS), 1.0 / RANKS)
        learned[inside] = np.concatenate(
            [
                adaptive_factors(self._cells[kept], self._mass[kept]),
                adaptive_factors(self._ranks[kept], uniform),
            ],
            axis=1,
        )
        if library.shape[1] == 0:
            return log_wealth(learned)
        return mean_of(log_wealth(library), log_wealth(learned))

    def library_totals(self) -> Logs:
        """Log wealth of each alternative after all rows of the table, [K]."""
        return np.asarray(self.library.sum(axis=0), dtype=np.float64)
