"""One figure in words, with its interval."""

from __future__ import annotations

from equivcheck.metrics.estimates import Estimate, Quantile

NOTHING = "n/a"


def times(estimate: Estimate, *, unit: str = "x") -> str:
    """``1.52x [1.40, 1.64]``."""
    if estimate.value is None:
        return NOTHING
    if estimate.interval is None:
        return f"{estimate.value:.2f}{unit}"
    return f"{estimate.value:.2f}{unit} [{estimate.interval.low:.2f}, {estimate.interval.high:.2f}]"


def number(value: float | None, *, digits: int = 2) -> str:
    """A number, or that there is none."""
    return NOTHING if value is None else f"{value:.{digits}f}"


def milliseconds(quantile: Quantile) -> str:
    """``7.10 [6.90, 7.40]``; an end that is not estimable is a question mark."""
    if quantile.value is None:
        return NOTHING
    low, high = (
        "?" if end is None else f"{1e3 * end:.2f}" for end in (quantile.low, quantile.high)
    )
    if low == high == "?":
        return f"{1e3 * quantile.value:.2f} (not estimable)"
    return f"{1e3 * quantile.value:.2f} [{low}, {high}]"
