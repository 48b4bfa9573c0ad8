"""Sampled tokens by how they came to be emitted: needs the target's distribution and the steps.

A token's surprisal under p is the entropy of p on average, given all before it, if it is drawn from
p. That holds of plain and of bonus tokens, and of what fills the place of a draft, accepted or
recovered. Of accepted tokens alone and of recovered ones alone it does not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from equivcheck.core.generation import Generation
from equivcheck.records.divergence import Role, role_of
from equivcheck.records.records import SAMPLED, Evidence
from equivcheck.records.score_table import ScoreTable, Support

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

STAGE_HEADER = ("stage", "tokens", "surprisal - entropy, nats", "impossible")
STAGE_LEGEND = (
    "a sound decoder's excess is 0 but for the standard error behind it; not that of accepted and "
    "of recovered tokens alone"
)
STAGES: dict[str, tuple[Role, ...]] = {
    "plain": ("plain",),
    "accepted": ("draft",),
    "recovered": ("correction",),
    "accepted or recovered": ("draft", "correction"),
    "bonus": ("bonus",),
}
_ROLES: tuple[Role, ...] = ("plain", "draft", "correction", "bonus")


class StageRow(Struct, frozen=True, kw_only=True):
    """The tokens of one stage."""

    stage: str
    tokens: int
    excess: float | None
    """Mean of surprisal minus entropy, nats, of the tokens that p allows; None: there are none."""
    error: float | None
    """Standard error of `excess`; None with fewer than two tokens."""
    impossible: int
    """Tokens that p rules out."""


def stage_rows(evidence: Evidence, scores: ScoreTable) -> tuple[StageRow, ...]:
    """One row for each stage that has tokens; none where the engine reports no steps.

    Args:
        evidence: the run, with draws in the order of ``scores``.
        scores: of every token of these draws.
    """
    import numpy as np

    draws = list(evidence.draws.get(SAMPLED, {}).values())
    if any(sum(step.emitted for step in draw.steps) != len(draw.token_ids) for draw in draws):
        return ()
    roles = np.asarray([_ROLES.index(role) for draw in draws for role in _roles(draw)])
    if roles.shape != scores.surprisal.shape:
        return ()
    rows = []
    for stage, wanted in STAGES.items():
        own = np.isin(roles, [_ROLES.index(role) for role in wanted])
        if own.any():
            rows.append(_row(stage, scores, own))
    return tuple(rows)


def _roles(draw: Generation) -> list[Role]:
    """Role of every token, as far as the steps tell."""
    return [
        role_of(slot, drafted=step.drafted, accepted=step.accepted)
        for step in draw.steps
        for slot in range(step.emitted)
    ]


def _row(stage: str, scores: ScoreTable, own: NDArray[np.bool_]) -> StageRow:
    allowed = own & (scores.support == Support.INSIDE)
    excess = (scores.surprisal[allowed] - scores.entropy[allowed]).astype("float64")
    return StageRow(
        stage=stage,
        tokens=int(own.sum()),
        excess=float(excess.mean()) if excess.size else None,
        error=float(excess.std(ddof=1) / math.sqrt(excess.size)) if excess.size > 1 else None,
        impossible=int((own & (scores.support == Support.OUTSIDE)).sum()),
    )


def stage_cells(row: StageRow) -> tuple[str, ...]:
    """Name, tokens, excess with its standard error, impossible tokens."""
    excess = "n/a" if row.excess is None else f"{row.excess:+.4f}"
    if row.error is not None:
        excess += f" ± {row.error:.4f}"
    return (row.stage, f"{row.tokens:,}", excess, f"{row.impossible:,}")


def stage_table(rows: Sequence[StageRow]) -> list[tuple[str, ...]]:
    """Header and rows; empty without rows."""
    return [STAGE_HEADER, *map(stage_cells, rows)] if rows else []
