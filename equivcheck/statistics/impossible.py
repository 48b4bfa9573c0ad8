"""T1: events that no correct decoder ever produces. One is enough; no probability is involved."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping

import numpy as np
from scipy.special import bdtrc

from equivcheck.records.score_table import ScoreTable, Support, Violation
from equivcheck.statistics.wealth import Flags

OUTSIDE = "emitted-outside"
KINDS = {
    Violation.REJECTED_SURE: "rejected-sure",
    Violation.RECOVERED_IMPOSSIBLE: "recovered-impossible",
    Violation.DRAFTED_IMPOSSIBLE: "drafted-impossible",
}
"""Violation of the engine's rule, to its name in findings. Each rests on q."""
BORDER_RATE, HALF_BORDER_RATE = 1e-4, 1e-3
"""Tokens in so many that arithmetic puts across the border of a truncated distribution at most, in
single and in half precision. Simulated noise of 1e-3 and 1e-2 nats on logits gives a third."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImpossibleEvent:
    """Where an impossible event happened."""

    kind: str
    key: str
    """Request key of the output."""
    position: int
    """Token of the output, from 0."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Impossible:
    """All impossible events of a table."""

    counts: dict[str, int]
    """Kind to rows; kinds that never happened are left out."""
    first: ImpossibleEvent | None
    border: int
    """Tokens that only a slightly wider cut contains: arithmetic may do that, so only counted."""

    @property
    def total(self) -> int:
        """Impossible events of all kinds; a row may have two."""
        return sum(self.counts.values())


def impossible_events(scores: ScoreTable, *, knows_q: bool) -> Impossible:
    """Count what cannot happen; what needs q only where that is known for certain."""
    flags = {OUTSIDE: scores.support == Support.OUTSIDE}
    return _counted(scores, flags | (_against_q(scores) if knows_q else {}))


def impossible_under_q(scores: ScoreTable) -> Impossible:
    """Count what no decoder does that draws its drafts from q and keeps its rule."""
    return _counted(scores, _against_q(scores))


def _against_q(scores: ScoreTable) -> dict[str, Flags]:
    return {name: scores.violation == code for code, name in KINDS.items()}


def _counted(scores: ScoreTable, flags: Mapping[str, Flags]) -> Impossible:
    counts = {kind: int(rows.sum()) for kind, rows in flags.items()}
    firsts = [(int(rows.argmax()), kind) for kind, rows in flags.items() if counts[kind]]
    return Impossible(
        counts={kind: count for kind, count in counts.items() if count},
        first=_event(scores, *min(firsts)) if firsts else None,
        border=int((scores.support == Support.BORDER).sum()),
    )


def events_of(scores: ScoreTable, *, kinds: Collection[str]) -> Iterator[ImpossibleEvent]:
    """Every event of some kinds, in the order of the table."""
    flags = {OUTSIDE: scores.support == Support.OUTSIDE} | _against_q(scores)
    rows = ((int(row), kind) for kind in kinds for row in np.flatnonzero(flags[kind]))
    return (_event(scores, row, kind) for row, kind in sorted(rows))


def border_allowed(tokens: int, *, half: bool, alpha: float) -> int:
    """Most tokens at the border that arithmetic explains: beyond is as rare as alpha (binomial)."""
    rate, count = HALF_BORDER_RATE if half else BORDER_RATE, 0
    while bdtrc(count, tokens, rate) > alpha:
        count += 1
    return count


def _event(scores: ScoreTable, row: int, kind: str) -> ImpossibleEvent:
    # The last output that starts at or before the row: empty outputs start where the next does.
    output = int(np.searchsorted(scores.starts[:-1], row, side="right")) - 1
    return ImpossibleEvent(
        kind=kind, key=scores.keys[output], position=row - int(scores.starts[output])
    )
