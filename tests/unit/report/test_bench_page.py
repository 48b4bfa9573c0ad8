"""A measurement's page: the numbers of the summary, and as harmless as the run's report."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from equivcheck.cli import main as cli
from equivcheck.cli.bench_words import lines_of
from equivcheck.cli.figure_words import times
from equivcheck.core.findings import Interval
from equivcheck.metrics.estimates import Estimate
from equivcheck.metrics.records import Bench, Point
from equivcheck.metrics.records_file import BENCH_NAME, BenchWriter
from equivcheck.metrics.summarise import summarise
from equivcheck.report import bench_page
from equivcheck.report.bench_page import mark_of, ratio_words, render
from equivcheck.report.figures import EDGE, MARK_WIDTH
from equivcheck.report.html import MOST_BYTES
from tests.unit.metrics.make import make_bench, plain, speculative
from tests.unit.report.test_html import HOSTILE, Page, assert_harmless

POINTS = (Point(batch_size=1, context=1024), Point(batch_size=4, context=1024))


def page_of(bench: Bench, *, headline: str = "1.6x over plain decoding") -> Page:
    return assert_harmless(render(summarise(bench), headline=headline))


def test_every_speedup_and_every_sweep_is_on_the_page() -> None:
    bench = make_bench(points=POINTS)
    summary = summarise(bench)
    page = page_of(bench)
    for each in summary.comparisons:
        assert each.speedup is not None
        assert f"{each.identical}/{each.prompts}" in page.text
        assert ratio_words(each.speedup.geometric_mean) in page.text
    for point in POINTS:
        assert f"At {point.name}" in page.text
    assert page.text.count("It falls through 1 at no batch of the sweep.") == 3
    assert len(page.named("caption")) == len(page.named("table")) == 2 * len(POINTS) + 3
    assert len(page.named("svg")) == len(summary.comparisons) + 2 * 3
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_ratios_read_as_on_the_terminal() -> None:
    summary = summarise(make_bench())
    printed = "\n".join(lines_of(summary))
    for each in summary.comparisons:
        assert each.speedup is not None
        words = ratio_words(each.speedup.geometric_mean)
        assert words == times(each.speedup.geometric_mean)
        assert words in printed


def test_a_speedup_is_withheld_where_tokens_differ() -> None:
    def other(key: str) -> object:
        found = speculative(key)
        return msgspec.structs.replace(found, token_ids=(1, *found.token_ids[1:]))

    page = page_of(make_bench(candidate=other))  # type: ignore[arg-type]
    assert page.text.count("withheld") == 4  # three rows and the footer
    assert page.named("svg") == []


def test_an_unfinished_measurement_says_so() -> None:
    bench = make_bench()
    cut = msgspec.structs.replace(bench, measured=bench.measured[:-1])
    assert "Unfinished" in page_of(cut).text
    assert "Unfinished" not in page_of(bench).text


def test_hostile_names_are_text() -> None:
    bench = make_bench(workloads=(HOSTILE,))
    text = render(summarise(bench), headline=HOSTILE * 20_000)
    assert len(text.encode()) <= MOST_BYTES
    page = assert_harmless(text)
    assert "<script>alert(1)</script>" in page.text


@given(
    st.floats(0.001, 100),
    st.tuples(st.floats(0.001, 100), st.floats(0.001, 100)).map(sorted),
)
def test_marks_stay_on_their_line(value: float, ends: list[float]) -> None:
    mark = mark_of(Estimate(value=value, interval=Interval(*ends), n=9))
    assert mark is not None
    assert mark.low is not None
    assert mark.high is not None
    assert EDGE <= mark.low <= mark.high <= MARK_WIDTH - EDGE
    assert EDGE <= mark.at <= MARK_WIDTH - EDGE
    assert mark.at == MARK_WIDTH / 2 or (mark.at > MARK_WIDTH / 2) == (value > 1)


def test_no_ratio_is_no_mark() -> None:
    assert mark_of(Estimate()) is None
    assert mark_of(Estimate(value=1.0)) == mark_of(Estimate(value=1.0, n=3))


def test_many_rows_are_bounded_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_page, "MOST_ROWS", 2)
    text = render(summarise(make_bench()), headline="x")
    assert "… 1 more rows in bench.jsonl" in text
    assert "… 7 more rows in bench.jsonl" in text


def test_report_of_a_measurements_folder_writes_its_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench = make_bench(candidate=lambda key: plain(key))
    with BenchWriter.create(tmp_path / BENCH_NAME, bench.header) as writer:
        for probed in bench.probed:
            writer.append(probed)
        for measured in bench.measured:
            writer.append(measured)
        for session in bench.sessions:
            writer.append(session)
    assert cli.run(["report", str(tmp_path)]) == 0
    shown = capsys.readouterr()
    assert "written: " in shown.err
    page = (tmp_path / "bench.html").read_text(encoding="utf-8")
    assert_harmless(page)
    assert shown.out.splitlines()[0] in Page(page).text
