"""Whether drafts are accepted as often as the engine's rule says: part of T3."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from equivcheck.statistics.bins import adaptive_factors
from equivcheck.statistics.wealth import Flags, Logs, log_wealth, mean_of, staked

MARGIN = 1e-3
"""Nearer to 0 or 1 than this, low bits of p and q move the odds; such places are left out."""
CELLS = 10
SHIFTS = (0.01, 0.05, 0.2, 0.6)
"""Share of the wrong decisions in distributions that accept too much, or reject too much."""
LENIENCES = (0.98, 0.95, 0.9, 0.8, 0.6)
CONSTANT = 0.5


def decisive(probability: NDArray[np.floating]) -> Flags:
    """Which places are really left to chance. Known before the decision, so no selection."""
    return np.asarray((probability > MARGIN) & (probability < 1.0 - MARGIN))


def acceptance_process(probability: NDArray[np.floating], accepted: Flags) -> Logs:
    """Log e-process over `decisive` places in order, [n].

    Given the draft, acceptance is Bernoulli with a known probability: min(1, p/q) token by token
    (Leviathan et al., arXiv 2211.17192), another one in a block (`scoring/stages.py`).
    Half are likelihood ratios of that coin against wrong coins, staked, and half adaptive bins over
    (tenth of the probability, decision); every factor has mean exactly 1 under the rule.
    """
    fair = probability.astype(np.float64)[:, None]
    wrong = np.concatenate(
        [
            fair + (1.0 - fair) * np.array(SHIFTS),
            fair * (1.0 - np.array(SHIFTS)),
            np.minimum(1.0, fair / np.array(LENIENCES)),
            np.full_like(fair, CONSTANT),
        ],
        axis=1,
    )
    ratio = np.where(accepted[:, None], wrong / fair, (1.0 - wrong) / (1.0 - fair))
    with np.errstate(divide="ignore"):
        library = staked(np.log(ratio))
    return mean_of(log_wealth(library), log_wealth(_learned(fair[:, 0], accepted)))


def _learned(fair: Logs, accepted: Flags) -> Logs:
    tenth = np.minimum((fair * CELLS).astype(np.int64), CELLS - 1)
    rows = np.arange(len(fair))
    mass = np.zeros((len(fair), 2 * CELLS))
    mass[rows, 2 * tenth] = 1.0 - fair
    mass[rows, 2 * tenth + 1] = fair
    return adaptive_factors(2 * tenth + accepted, mass)
