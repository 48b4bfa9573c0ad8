"""Where the marks of the HTML report's drawings stand, in pixels of their own small canvas.

Numbers in, coordinates out. The markup around them is in `templates/figures.html.j2`.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from equivcheck.core.findings import Interval

MARK_WIDTH = 120
"""Width of the mark's canvas; 0 and 1 lie `EDGE` inside it, so that a dot there is not cut off."""
EDGE = 5
SPARK_HEIGHT = 24
LEAST_SPAN = 0.05
"""Least span of a sparkline's scale."""
MOST_POINTS = 40
BAR_WIDTH = 22
BAR_HEIGHT = 40
"""Height of a rate of 1."""
CURVE_WIDTH = 420
CURVE_HEIGHT = 120


class IntervalMark(Struct, frozen=True, kw_only=True):
    """A dot with its interval on a line from 0 to 1."""

    at: float
    low: float | None
    """None, as `high`: no interval."""
    high: float | None


class Bar(Struct, frozen=True, kw_only=True):
    """One bar of a small bar chart, growing upwards from `BAR_HEIGHT`."""

    slot: int
    rate: float
    left: int
    top: float
    height: float


class Sparkline(Struct, frozen=True, kw_only=True):
    """Values in order on a scale of their own."""

    places: tuple[tuple[float, float], ...]
    """Left to right, then downwards."""

    @property
    def path(self) -> str:
        """For the attribute ``points`` of a polyline."""
        return " ".join(f"{left},{top}" for left, top in self.places)


def interval_mark(rate: float, interval: Interval | None) -> IntervalMark:
    """Place a share between 0 and 1."""
    return IntervalMark(
        at=_along(rate),
        low=None if interval is None else _along(interval.low),
        high=None if interval is None else _along(interval.high),
    )


def bars(rates: Sequence[float]) -> tuple[Bar, ...]:
    """One bar a draft slot, slots counted from 0."""
    return tuple(
        Bar(
            slot=slot,
            rate=rate,
            left=slot * BAR_WIDTH,
            top=round(BAR_HEIGHT * (1 - rate), 1),
            height=round(BAR_HEIGHT * rate, 1),
        )
        for slot, rate in enumerate(rates)
    )


def curve(quantiles: Sequence[float], *, most: float) -> str:
    """The path of a distribution function, from its values at even shares from 0 to 1.

    Left edge is 0 and the right one ``most``; what lies beyond that is cut off.
    """
    last = len(quantiles) - 1
    places = [
        (round(CURVE_WIDTH * min(value / most, 1.0), 1), round(CURVE_HEIGHT * (1 - at / last), 1))
        for at, value in enumerate(quantiles)
        if at == 0 or value <= most
    ]
    (x, y), *others = places
    return f"M{x} {y}" + "".join(f"H{x}V{y}" for x, y in others)


def line(points: Sequence[tuple[float, float]], *, right: float, bottom: float, top: float) -> str:
    """The path through points, from x = 0 to ``right`` and from ``bottom`` to ``top`` upwards.

    What lies above or below is drawn at the edge.
    """
    places = [
        (
            round(CURVE_WIDTH * x / right, 1),
            height(y, bottom=bottom, top=top),
        )
        for x, y in points
    ]
    return "M" + "L".join(f"{x} {y}" for x, y in places)


def height(value: float, *, bottom: float, top: float) -> float:
    """Where a value stands on a curve's canvas, counted from above."""
    share = (min(max(value, bottom), top) - bottom) / (top - bottom)
    return round(CURVE_HEIGHT * (1 - share), 1)


def _along(rate: float) -> float:
    return round(EDGE + rate * (MARK_WIDTH - 2 * EDGE), 1)


def sparkline(rates: Sequence[float]) -> Sparkline:
    """A small line of its own scale, at least `LEAST_SPAN` high, so that noise does not fill it."""
    shown = rates[-MOST_POINTS:]
    middle = (min(shown) + max(shown)) / 2
    span = max(max(shown) - min(shown), LEAST_SPAN)
    gaps = max(1, len(shown) - 1)
    places = tuple(
        (
            round(EDGE + place / gaps * (MARK_WIDTH - 2 * EDGE), 1),
            round(SPARK_HEIGHT / 2 - (rate - middle) / span * (SPARK_HEIGHT - 2 * EDGE), 1),
        )
        for place, rate in enumerate(shown)
    )
    return Sparkline(places=places)
