"""T5: outputs must not share noise with each other.

Outputs whose requests draw from one stream are each distributed rightly; only side by side do they
show it. Three views: transforms that move together, tokens that collide, and twins of one prompt
that stay together. Rows are bets in the table's order, each against the outputs before it.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri

from equivcheck.records.score_table import (
    CROSSING_GROUP,
    CROSSING_POSITIONS,
    ScoreTable,
    Support,
    Twin,
)
from equivcheck.statistics.serial import positions
from equivcheck.statistics.wealth import Logs, log_wealth, mean_of, staked

SHARED = (0.2, 0.5, 0.9, 0.99)
"""Share of the noise that outputs have in common, in the alternatives."""
TAIL = 1e-6
"""Transforms nearer to 0 or 1 than float32 can tell; the alternatives give them nothing."""
PULLS = (0.05, 0.2, 0.5)
"""Chance to repeat what was emitted before at the position, beyond the distribution."""
COPIES = (0.1, 0.5, 0.9)
"""Chance that a twin's token is copied rather than drawn."""


def crossing_process(scores: ScoreTable) -> Logs:
    """Log e-process over all rows, [N]: mean of the three views."""
    return mean_of(
        log_wealth(_common(scores)), log_wealth(_collisions(scores)), log_wealth(_twins(scores))
    )


def _common(scores: ScoreTable) -> Logs:
    """Normal scores z of a position against those of earlier outputs of the group.

    If noise is shared to a part rho, z given n earlier scores is normal with mean
    ``rho S / (1 + (n - 1) rho)``, S their sum, and variance ``1 - n rho^2 / (1 + (n - 1) rho)``.
    The likelihood ratio to N(0, 1) has mean 1 under the null, less what is cut off as `TAIL`.
    """
    place = positions(scores)
    output = np.repeat(np.arange(len(scores.keys)), np.diff(scores.starts))
    uniform = scores.pit_vocabulary.astype(np.float64)
    watched = (place < CROSSING_POSITIONS) & (scores.support == Support.INSIDE)
    usable = watched & (uniform > TAIL) & (uniform < 1.0 - TAIL)
    groups = -(-len(scores.keys) // CROSSING_GROUP)
    shape = (groups * CROSSING_GROUP, CROSSING_POSITIONS)
    normal, known = np.zeros(shape), np.zeros(shape)
    normal[output[usable], place[usable]] = ndtri(uniform[usable])
    known[output[usable], place[usable]] = 1.0
    earlier = [_sum_before(table)[output[watched], place[watched]] for table in (normal, known)]
    total, count = (part[:, None] for part in earlier)
    score = normal[output[watched], place[watched]][:, None]
    shared = np.array(SHARED)
    spread = 1.0 + (count - 1.0) * shared
    mean, variance = shared * total / spread, 1.0 - count * shared**2 / spread
    ratio = 0.5 * (score**2 - (score - mean) ** 2 / variance - np.log(variance))
    ratio[~usable[watched]] = -np.inf
    # Without an earlier score there is nothing to bet on, wherever this one lies.
    logs = np.zeros((scores.rows, len(SHARED)))
    logs[watched] = np.where(count > 0, staked(ratio), 0.0)
    return logs


def _sum_before(table: Logs) -> Logs:
    """Sums over the earlier outputs of the same group."""
    grouped = table.reshape(-1, CROSSING_GROUP, CROSSING_POSITIONS)
    return np.asarray((np.cumsum(grouped, axis=1) - grouped).reshape(table.shape))


def _collisions(scores: ScoreTable) -> Logs:
    """A token among those emitted before: m under the null, ``m + pull (1 - m)`` if shared.

    The likelihood ratio of a known coin has mean exactly 1.
    """
    mass = scores.crossing_mass.astype(np.float64)
    bets = (mass > 0.0) & (mass < 1.0) & (scores.support == Support.INSIDE)
    chance, pulls = mass[bets][:, None], np.array(PULLS)
    hit = np.log1p(pulls * (1.0 - chance) / chance)
    logs = np.zeros((scores.rows, len(PULLS)))
    logs[bets] = np.where(scores.crossed[bets][:, None], hit, np.log1p(-pulls))
    return logs


def _twins(scores: ScoreTable) -> Logs:
    """``(1 - c) + c [same token] / p(twin's token)`` has mean exactly 1, as P(same) = p."""
    bets = (scores.twin != Twin.NONE) & (scores.twin_prob > 0.0)
    bets &= (scores.support != Support.TIED) & (scores.support != Support.UNKNOWN)
    same = (scores.twin[bets] == Twin.EQUAL)[:, None]
    gain = np.where(same, 1.0 / scores.twin_prob[bets].astype(np.float64)[:, None], 0.0)
    copies = np.array(COPIES)
    logs = np.zeros((scores.rows, len(COPIES)))
    logs[bets] = np.log((1.0 - copies) + copies * gain)
    return logs
