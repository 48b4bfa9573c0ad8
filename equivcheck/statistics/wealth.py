"""The algebra that all e-processes here share: products of factors, and means of products.

A factor whose mean under the null, given everything before it, is at most 1 makes the running
product a test supermartingale, and so is a mean of such products with weights fixed beforehand.
By Ville's inequality it ever reaches ``1 / alpha`` with probability at most alpha, whenever one
looks (Ville 1939; Shafer, Testing by betting, JRSS A 2021; Waudby-Smith and Ramdas,
arXiv 2010.09686). Everything is in natural logarithms. Knows nothing of tables.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Logs: TypeAlias = NDArray[np.float64]
Flags: TypeAlias = NDArray[np.bool_]

STAKE = 0.98
"""Share of the wealth that a likelihood ratio puts at risk at each token."""


def log_mean_exp(logs: Logs) -> Logs:
    """Logarithm of the mean over the last axis, of finite logs: [..., K] to [...]."""
    peak = logs.max(axis=-1)
    mean = np.exp(logs - peak[..., None]).mean(axis=-1)
    return np.asarray(peak + np.log(mean), dtype=np.float64)


def log_wealth(log_factors: Logs) -> Logs:
    """Running e-process of a uniform mixture of bets: log factors [n, K] to log wealth [n]."""
    return log_mean_exp(np.cumsum(log_factors, axis=0, dtype=np.float64))


def mean_of(*processes: Logs) -> Logs:
    """The even mean of e-processes over the same rows, [n] each."""
    return log_mean_exp(np.stack(processes, axis=-1))


def staked(log_ratio: Logs) -> Logs:
    """Log of ``.98 ratio + .02``: at most 1 in mean where the ratio is, and never ruined."""
    return np.asarray(np.logaddexp(np.log(STAKE) + log_ratio, np.log1p(-STAKE)), dtype=np.float64)
