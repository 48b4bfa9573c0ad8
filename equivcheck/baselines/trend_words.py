"""A trend in words: a sparkline of block characters, and where it stepped."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from equivcheck.baselines.trend import Trend
from equivcheck.core.escape import head

TREND_HEADER = ("trend", "oldest first", "first", "last", "steps")
BARS = "▁▂▃▄▅▆▇█"
MOST_POINTS = 40
LEAST_SPAN = 0.05
"""Least span of the sparkline's axis, in acceptance: noise must not fill it."""


def trend_cells(trend: Trend) -> tuple[str, ...]:
    """Workload, sparkline, first and last value, steps."""
    return (
        trend.workload,
        sparkline([value.rate for value in trend.values]),
        f"{trend.values[0].rate:.3f}",
        f"{trend.values[-1].rate:.3f}",
        step_words(trend) or "no step",
    )


def step_words(trend: Trend) -> str:
    """``0.61 → 0.52 at 2026-11-02 (3fa2c1e)``, of every step."""
    told = []
    for before, value in pairwise(trend.values):
        if value.step:
            where = value.commit or value.run
            told.append(
                f"{before.rate:.3f} → {value.rate:.3f} at {value.created[:10]} "
                f"({head(where, cells=20)})"
            )
    return "; ".join(told)


def sparkline(rates: Sequence[float]) -> str:
    """One bar a value, the newest `MOST_POINTS`, on an axis of their own."""
    shown = rates[-MOST_POINTS:]
    low, high = min(shown), max(shown)
    middle = (low + high) / 2
    span = max(high - low, LEAST_SPAN)
    return "".join(
        BARS[min(len(BARS) - 1, int(len(BARS) * ((rate - middle) / span + 0.5)))] for rate in shown
    )
