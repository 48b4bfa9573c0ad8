"""T3: each stage of the engine's rule against its own distribution, by the rule that it declares.

Whether drafts follow q says whether q is the engine's; it accuses nobody (`draft_law`). Bonus
tokens need p alone, the two other stages need q.

Token by token, drafts follow q, acceptance is a known coin, recovered tokens follow the residual
whatever was rejected, and bonus tokens follow p (Leviathan et al., arXiv 2211.17192; Chen et al.,
arXiv 2302.01318). Under block verification (Sun et al., arXiv 2403.10444) the drafts of a block are
selected by each other, and the distributions are those that `scoring/stages.py` derives; the
columns hold them. Revealed in that order, slot by slot, each is known given everything before, so
every process is a test martingale at the ends of verify steps.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from equivcheck.records.score_table import (
    BINS,
    REJECTED_EDGES,
    ScoreTable,
    Stage,
    Support,
    Violation,
)
from equivcheck.statistics.acceptance import acceptance_process, decisive
from equivcheck.statistics.bins import adaptive_factors
from equivcheck.statistics.wealth import Flags, Logs, log_wealth, mean_of

DRAFT, ACCEPT, RECOVERED, BONUS = "draft", "accept", "recovered", "bonus"


def stage_processes(scores: ScoreTable) -> dict[str, Logs]:
    """Log e-process of each stage over all rows of the table, [N] each.

    An impossible event (T1) is left out of the stage that it belongs to, and of that stage only:
    others would otherwise be blamed for what is missing. Under the null there are none.
    """
    possible = scores.support == Support.INSIDE
    stage, violation = scores.stage, scores.violation
    tried = (stage == Stage.ACCEPTED) | (stage == Stage.RECOVERED)
    drafted = tried & (violation != Violation.DRAFTED_IMPOSSIBLE)
    coins = drafted & decisive(scores.accept_prob)
    recovered = possible & (stage == Stage.RECOVERED) & scores.recovered_mass.any(axis=1)
    recovered &= violation != Violation.RECOVERED_IMPOSSIBLE
    bonus = possible & (stage == Stage.BONUS)
    return {
        DRAFT: _binned(drafted, scores.draft_bin, scores.draft_mass),
        ACCEPT: _spread(
            coins, acceptance_process(scores.accept_prob[coins], stage[coins] == Stage.ACCEPTED)
        ),
        RECOVERED: _recovered(scores, recovered),
        BONUS: _binned(bonus, scores.bin, scores.bin_mass),
    }


def _binned(rows: Flags, cells: NDArray[np.uint8], mass: NDArray[np.float32]) -> Logs:
    return _spread(rows, log_wealth(adaptive_factors(cells[rows].astype(np.int64), mass[rows])))


def _recovered(scores: ScoreTable, rows: Flags) -> Logs:
    """Half in the plain bins, half in bins of each class of the rejected draft's q.

    The second half sees noise that drafting and recovering share: given the rejected token, such
    tokens no longer follow the residual.
    """
    plain = _binned(rows, scores.recovered_bin, scores.recovered_mass)
    classes = len(REJECTED_EDGES) + 1
    rejected = scores.rejected_class[rows].astype(np.int64)
    mass = np.zeros((len(rejected), classes, BINS))
    mass[np.arange(len(rejected)), rejected] = scores.recovered_mass[rows]
    cells = rejected * BINS + scores.recovered_bin[rows]
    crossed = log_wealth(adaptive_factors(cells, mass.reshape(len(rejected), classes * BINS)))
    return mean_of(plain, _spread(rows, crossed))


def _spread(rows: Flags, process: Logs) -> Logs:
    """A process over some rows, held between them: [rows.sum()] to [N]."""
    return np.concatenate([np.zeros(1), process])[np.cumsum(rows)]
