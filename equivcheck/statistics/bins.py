"""A bet that learns: adaptive likelihood ratios over bins whose probabilities are known.

Finds faults that no alternative foresaw, as far as they move mass between bins.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from equivcheck.statistics.wealth import Logs

KAPPAS = (10.0, 100.0, 1000.0)
"""Pseudo-counts: how slowly a bet believes what it has seen. One mixture component each."""


def adaptive_factors(cells: NDArray[np.integer], mass: NDArray[np.floating]) -> Logs:
    """Log factors of the adaptive bets, [n, len(KAPPAS)].

    With O observed and E expected counts of the rows before, ``w = (O + kappa) / (E + kappa)`` and
    the factor is ``w[cell] / sum(mass * w)``. Its mean over cells drawn from `mass` is exactly 1,
    because w is fixed by the past (a plug-in likelihood ratio, Waudby-Smith and Ramdas,
    arXiv 2010.09686).

    Args:
        cells: [n], the cell that each row fell into.
        mass: [n, B], each row's distribution over cells; normalised here, must not be all zero.
    """
    distribution = mass.astype(np.float64)
    distribution /= distribution.sum(axis=1, keepdims=True)
    rows = np.arange(len(cells))
    drawn = np.zeros_like(distribution)
    drawn[rows, cells] = 1.0
    observed = np.cumsum(drawn, axis=0) - drawn
    expected = np.cumsum(distribution, axis=0) - distribution
    logs = np.empty((len(cells), len(KAPPAS)))
    for column, kappa in enumerate(KAPPAS):
        weights = (observed + kappa) / (expected + kappa)
        logs[:, column] = np.log(weights[rows, cells]) - np.log(
            (distribution * weights).sum(axis=1)
        )
    return logs
