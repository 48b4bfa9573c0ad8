"""Times: shared out over tokens, and only where they are known."""

from __future__ import annotations

import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from equivcheck.core.generation import Step
from equivcheck.records.records import CANDIDATE, TARGET, Evidence
from equivcheck.report import html
from equivcheck.report.figures import CURVE_HEIGHT, CURVE_WIDTH, curve
from equivcheck.report.latency import (
    ENOUGH_FOR_P99,
    SHARES,
    LatencyRow,
    latency_cells,
    latency_rows,
)
from tests.unit.make import make_evidence, make_generation
from tests.unit.report.test_html import assert_harmless
from tests.unit.report.test_report import make_run, view


def timed(*steps: tuple[float | None, int]) -> Evidence:
    """Seconds and emitted tokens of the candidate's steps."""
    told = tuple(
        Step(drafted=emitted, accepted=emitted - 1, emitted=emitted, seconds=seconds)
        for seconds, emitted in steps
    )
    return make_evidence(
        {TARGET: [make_generation()], CANDIDATE: [make_generation(steps=told)]},
    )


def test_a_step_is_shared_out_over_its_tokens() -> None:
    (row,) = latency_rows(timed((0.03, 3), (0.02, 1), (None, 5)))
    assert (row.arm, row.tokens, row.steps) == (CANDIDATE, 4, 2)
    assert row.p50 == pytest.approx(0.01)
    assert row.p90 == pytest.approx(0.02)
    assert latency_cells(row) == (CANDIDATE, "4", "2", "10 ms", "20 ms", "not estimable")


def test_a_p99_needs_steps_enough() -> None:
    steps = [(0.001 * (number + 1), 1) for number in range(ENOUGH_FOR_P99)]
    (row,) = latency_rows(timed(*steps))
    assert row.p99 == pytest.approx(0.297)
    assert next(latency_rows(timed(*steps[:-1]))).p99 is None


def test_without_times_there_is_no_section() -> None:
    assert view(make_run()).latencies == ()
    assert 'id="latency"' not in html.render(view(make_run()))


def test_the_page_draws_both_arms_and_says_the_numbers() -> None:
    shown = view(make_run())
    rows = tuple(
        LatencyRow(
            arm=arm,
            tokens=1000,
            steps=steps,
            p50=0.012,
            p90=0.02,
            p99=0.0345,
            quantiles=tuple(min(0.03 * share, 0.0294) for share in SHARES),
        )
        for arm, steps in ((TARGET, 1000), (CANDIDATE, 500))
    )
    text = html.render(msgspec.structs.replace(shown, latencies=rows))
    page = assert_harmless(text).text
    for row in rows:
        assert " ".join(latency_cells(row)) in page
    assert len(re.findall('stroke-width="2"', text)) == 2
    assert text.count('stroke-dasharray="5 3"') == 1
    paths = re.findall(r'<path d="([^"]*)" stroke="currentColor" stroke-width="2"', text)
    assert [path for path in paths if not re.fullmatch(r"[MHV\d. ]+V0\.0", path)] == []


@given(st.lists(st.floats(0, 10), min_size=2, max_size=60).map(sorted), st.floats(0.01, 20))
def test_a_curve_stays_on_its_canvas_and_only_rises(values: list[float], most: float) -> None:
    numbers = re.findall(r"([MHV ])(-?[\d.]+)", curve(values, most=most))
    across = [float(number) for mark, number in numbers if mark in "MH"]
    down = [float(number) for mark, number in numbers if mark in " V"]
    assert across == sorted(across)
    assert down == sorted(down, reverse=True)
    assert min(across) >= 0
    assert max(across) <= CURVE_WIDTH
    assert (down[0], min(down) >= 0) == (CURVE_HEIGHT, True)
