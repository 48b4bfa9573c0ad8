"""How long a token took on each arm: part of the view, drawn as distribution functions.

A step's wall time is shared out evenly over the tokens it emitted. Arms take turns on one machine
and records are written in between, so this shows shapes and is no benchmark.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from equivcheck.records.records import CANDIDATE, TARGET, Evidence

if TYPE_CHECKING:
    from equivcheck.core.packed_sequences import Array

SHARES = tuple(share / 100 for share in range(0, 101, 2))
"""At which a distribution function is kept."""
ENOUGH_FOR_P99 = 300
"""Steps; with fewer, nothing bounds a p99 from above."""
LATENCY_HEADER = ("arm", "tokens", "steps", "p50", "p90", "p99")


class LatencyRow(Struct, frozen=True, kw_only=True):
    """Seconds a token of one arm."""

    arm: str
    tokens: int
    steps: int
    p50: float
    p90: float
    p99: float | None
    """None: not estimable from so few steps."""
    quantiles: tuple[float, ...]
    """At `SHARES`."""


def latency_rows(evidence: Evidence) -> Iterator[LatencyRow]:
    """Target and candidate, as far as their engines report times."""
    # Both are loaded for a report, and not to import one.
    import numpy as np

    from equivcheck.core.columns import seconds_of, steps_of

    for arm in (TARGET, CANDIDATE):
        answers = [answer.generation for answer in evidence.captured.get(arm, {}).values()]
        if not any(answer.steps for answer in answers):
            continue
        emitted = steps_of(answers)[:, 2].astype("int64")
        seconds = np.concatenate([seconds_of(answer) for answer in answers])
        timed = ~np.isnan(seconds) & (emitted > 0)
        emitted = emitted[timed]
        if not len(emitted):
            continue
        seconds = seconds[timed] / emitted
        order = seconds.argsort(kind="stable")
        reached = emitted[order].cumsum()
        p50, p90, p99, *quantiles = _quantiles(seconds[order], reached, (0.5, 0.9, 0.99, *SHARES))
        yield LatencyRow(
            arm=arm,
            tokens=int(reached[-1]),
            steps=len(reached),
            p50=p50,
            p90=p90,
            p99=p99 if len(reached) >= ENOUGH_FOR_P99 else None,
            quantiles=tuple(quantiles),
        )


def latency_cells(row: LatencyRow) -> tuple[str, ...]:
    """Arm, counts, and milliseconds a token."""
    p99 = "not estimable" if row.p99 is None else milliseconds(row.p99)
    counts = (f"{row.tokens:,}", f"{row.steps:,}")
    return (row.arm, *counts, milliseconds(row.p50), milliseconds(row.p90), p99)


def drawn_up_to(rows: Sequence[LatencyRow]) -> float:
    """Seconds at the right edge of the drawing: 98 % of each arm's tokens keep to it."""
    return 1.05 * max((row.quantiles[-2] for row in rows), default=0.0) or 1.0


def milliseconds(seconds: float) -> str:
    """``12.3 ms``."""
    return f"{seconds * 1000:.3g} ms"


def _quantiles(seconds: Array, reached: Array, shares: tuple[float, ...]) -> list[float]:
    """For each share, the smallest time that so many of the tokens keep to (nearest rank)."""
    wanted = [max(1, share * reached[-1] - 1e-9) for share in shares]
    found: list[float] = seconds[reached.searchsorted(wanted)].tolist()
    return found
