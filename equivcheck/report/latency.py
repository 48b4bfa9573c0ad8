"""How long a token took on each arm: part of the view, drawn as distribution functions.

A step's wall time is shared out evenly over the tokens it emitted. Arms take turns on one machine
and records are written in between, so this shows shapes and is no benchmark.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate

from msgspec import Struct

from equivcheck.records.records import CANDIDATE, TARGET, Evidence

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
    for arm in (TARGET, CANDIDATE):
        steps = sorted(
            (step.seconds / step.emitted, step.emitted)
            for answer in evidence.captured.get(arm, {}).values()
            for step in answer.generation.steps
            if step.seconds is not None and step.emitted > 0
        )
        if not steps:
            continue
        seconds = [each for each, _ in steps]
        reached = list(accumulate(emitted for _, emitted in steps))
        p50, p90, p99, *quantiles = _quantiles(seconds, reached, (0.5, 0.9, 0.99, *SHARES))
        yield LatencyRow(
            arm=arm,
            tokens=reached[-1],
            steps=len(steps),
            p50=p50,
            p90=p90,
            p99=p99 if len(steps) >= ENOUGH_FOR_P99 else None,
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


def _quantiles(seconds: list[float], reached: list[int], shares: tuple[float, ...]) -> list[float]:
    """For each share, the smallest time that so many of the tokens keep to (nearest rank)."""
    return [seconds[bisect_left(reached, max(1, share * reached[-1] - 1e-9))] for share in shares]
