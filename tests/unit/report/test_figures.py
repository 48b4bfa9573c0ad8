"""The marks stand where the numbers are."""

from __future__ import annotations

from equivcheck.core.findings import Interval
from equivcheck.report.figures import (
    BAR_HEIGHT,
    BAR_WIDTH,
    EDGE,
    MARK_WIDTH,
    bars,
    interval_mark,
)


def test_an_interval_stays_on_its_canvas() -> None:
    mark = interval_mark(0.5, Interval(low=0.0, high=1.0))
    assert (mark.low, mark.at, mark.high) == (EDGE, MARK_WIDTH / 2, MARK_WIDTH - EDGE)


def test_no_interval_is_no_line() -> None:
    mark = interval_mark(0.0, None)
    assert (mark.low, mark.at, mark.high) == (None, EDGE, None)


def test_bars_grow_from_the_same_ground() -> None:
    drawn = bars((1.0, 0.25, 0.0))
    assert [bar.left for bar in drawn] == [0, BAR_WIDTH, 2 * BAR_WIDTH]
    assert [bar.height for bar in drawn] == [BAR_HEIGHT, BAR_HEIGHT / 4, 0]
    assert {bar.top + bar.height for bar in drawn} == {BAR_HEIGHT}
