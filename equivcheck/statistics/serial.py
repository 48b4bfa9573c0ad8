"""T4: tokens of one output must not remember each other's noise.

Sees random numbers that are re-used or re-seeded within an output, where every single token looks
right. Blind to dependence that the order by q/p does not show.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from equivcheck.records.score_table import ScoreTable, Support
from equivcheck.statistics.wealth import Logs, log_wealth

LAGS = (1, 2, 3, 4, 5)
STAKES = (-0.2, -0.1, -0.05, 0.05, 0.1, 0.2)


def serial_process(scores: ScoreTable) -> Logs:
    """Log e-process over all rows, [N]: mean over lags and stakes.

    Given the past, a randomised probability integral transform is uniform (Rosenblatt 1952), so
    ``v = sqrt(12) (u - 1/2)`` has mean 0, and the factor ``1 + stake * v[t] * v[t - lag]`` has mean
    exactly 1; as |v| <= sqrt(3), it is positive for stakes below 1/3 (betting on a bounded mean,
    Waudby-Smith and Ramdas, arXiv 2010.09686).
    """
    inside = scores.support == Support.INSIDE
    noise = np.where(inside, np.sqrt(12.0) * (scores.pit_ratio.astype(np.float64) - 0.5), 0.0)
    position = positions(scores)
    products = np.zeros((scores.rows, len(LAGS)))
    for column, lag in enumerate(LAGS):
        products[lag:, column] = noise[lag:] * noise[:-lag]
        products[position < lag, column] = 0.0
    logs = np.log1p(products[:, :, None] * np.array(STAKES))
    return log_wealth(logs.reshape(scores.rows, len(LAGS) * len(STAKES)))


def positions(scores: ScoreTable) -> NDArray[np.int64]:
    """Each row's place in its output, from 0: [N]."""
    lengths = np.diff(scores.starts)
    return np.arange(scores.rows) - np.repeat(scores.starts[:-1], lengths)
