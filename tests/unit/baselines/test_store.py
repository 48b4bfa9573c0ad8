from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from equivcheck.baselines.store import (
    FOLDER,
    BaselineError,
    path_of,
    read_baseline,
    text_of,
    write_baseline,
)
from equivcheck.baselines.trend import steps_of, trends_of
from equivcheck.baselines.trend_words import sparkline
from equivcheck.compare.render import trend_lines
from equivcheck.core.errors import EquivcheckError
from equivcheck.core.generation import Counts
from equivcheck.records.baseline_record import Baseline, HistoryPoint
from tests.unit.baselines.make import even_cases, make_baseline, make_case


def test_what_is_written_reads_back_a_case_a_line(tmp_path: Path) -> None:
    base = make_baseline()
    write_baseline(base, tmp_path / "main.json")
    assert read_baseline("main", folder=tmp_path) == base
    lines = (tmp_path / "main.json").read_text().splitlines()
    assert sum('"code/' in line for line in lines) == len(base.cases)


@given(st.text(), st.text())
def test_any_text_stays_json(key: str, headline: str) -> None:
    base = make_baseline({f"w/{key}": next(iter(even_cases().values()))}, headline=headline)
    assert msgspec.json.decode(text_of(base), type=Baseline) == base


def test_replacing_keeps_history_while_facts_are_the_same(tmp_path: Path) -> None:
    path = tmp_path / "main.json"
    for n in range(3):
        write_baseline(make_baseline(even_cases(accepted=60 - n), run=f"run-{n}"), path)
    kept = read_baseline(str(path))
    assert [point.run for point in kept.history] == ["run-0", "run-1"]
    assert write_baseline(make_baseline(run="run-2"), path).history == kept.history
    moved = make_baseline(run="run-9", facts={"device": "cuda"})
    assert write_baseline(moved, path).history == ()


SAVE = "equivcheck baseline save --name main"


@pytest.mark.parametrize(
    ("text", "state", "fix"),
    [
        (None, "missing", SAVE),
        ("", "unreadable", SAVE),
        ("{}", "unreadable", SAVE),
        ('{"equivcheck_baseline": 1}', "unreadable", SAVE),
        ('{"equivcheck_baseline": 1, "name": "\udcff"}', "unreadable", SAVE),
        ('{"equivcheck_baseline": 1, "more": ' + "[" * 100_000, "unreadable", SAVE),
        ('{"equivcheck_baseline": 99}', "from a newer version", "pip install --upgrade equivcheck"),
    ],
)
def test_what_cannot_be_used_is_a_state_with_a_fix(
    tmp_path: Path, text: str | None, state: str, fix: str
) -> None:
    if text is not None:
        (tmp_path / "main.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(BaselineError) as caught:
        read_baseline("main", folder=tmp_path)
    assert (caught.value.state, caught.value.fix) == (state, fix)
    assert str(tmp_path / "main.json") in str(caught.value)


def test_a_near_name_is_suggested(tmp_path: Path) -> None:
    write_baseline(make_baseline(), tmp_path / "release.json")
    with pytest.raises(BaselineError, match="did you mean 'release'"):
        read_baseline("relaese", folder=tmp_path)


@pytest.mark.parametrize("name", ["../up", "a b", "", ".hidden", "x" * 65, "a/b"])
def test_names_cannot_leave_the_folder(name: str) -> None:
    with pytest.raises(EquivcheckError, match="baseline name"):
        path_of(name)


def test_a_file_is_what_a_person_can_read(tmp_path: Path) -> None:
    tree = json.loads(text_of(make_baseline()))
    assert tree["cases"]["code/1"] == [100, 61, "pass", "identical", None]


def test_a_step_is_found_where_it_is() -> None:
    noise = [0.004, -0.003, 0.001, -0.004, 0.003, 0.0, -0.002, 0.002]
    levels = [0.6] * 8 + [0.5] * 8
    values = [level + noise[n % 8] for n, level in enumerate(levels)]
    assert steps_of(values) == [8]
    assert steps_of(values[:8]) == []
    assert steps_of([0.6, 0.6, 0.6, 0.3]) == [3]


@given(st.floats(0, 1), st.integers(1, 40))
def test_a_level_series_has_no_step(level: float, n: int) -> None:
    assert steps_of([level] * n) == []


@given(st.lists(st.floats(0, 1), max_size=15))
def test_steps_are_inside_and_do_not_hang_on_the_direction(values: list[float]) -> None:
    found = steps_of(values)
    assert all(0 < place < len(values) for place in found)
    assert found == sorted(set(found))
    assert len(steps_of(values[::-1])) == len(found)


def test_a_trend_lines_up_history_baseline_and_run() -> None:
    history = tuple(
        HistoryPoint(
            created=f"2026-01-0{n}",
            run=f"r{n}",
            commit=f"c{n}",
            counts={"code": Counts(drafted=100, accepted=60)},
        )
        for n in range(1, 6)
    )
    base = make_baseline(even_cases(accepted=30), history=history)
    other = make_baseline(run="r9", facts=base.facts | {"setup.dtype": "bfloat16"})
    found = trends_of(base, [make_baseline(even_cases(accepted=30), run="r8"), other])
    (trend,) = found.trends
    assert [value.rate for value in trend.values] == pytest.approx([0.6] * 5 + [0.30875] * 2)
    assert [value.step for value in trend.values] == [False] * 5 + [True, False]
    lines = list(trend_lines(found))
    assert lines[0] == "acceptance over 7 states of main"
    assert "0.600 → 0.309" in lines[2]
    assert lines[-1].startswith("x not comparable, left out: setup.dtype")


def test_a_sparkline_does_not_blow_up_noise() -> None:
    assert len(set(sparkline([0.600, 0.601, 0.599, 0.600]))) <= 2
    assert sparkline([0.2, 0.8]) == "▁█"


def test_the_nearest_folder_above_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_baseline(make_baseline(), tmp_path / FOLDER / "main.json")
    below = tmp_path / "suites"
    below.mkdir()
    monkeypatch.chdir(below)
    assert read_baseline("main") == make_baseline()
    monkeypatch.chdir(tmp_path)
    assert path_of("main") == FOLDER / "main.json"


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        (
            {"cases": {"code/0": make_case(2**60, 1)}},
            "cases[...][0]: expected `int` <= 9007",
        ),
        (
            {
                "history": (
                    HistoryPoint(
                        created="", run="r0", counts={"code": Counts(drafted=1, accepted=10**30)}
                    ),
                )
            },
            "history[0].counts[...][1]: expected",
        ),
    ],
)
def test_counts_that_nothing_can_be_calculated_with_are_refused(
    fields: dict[str, Any], told: str, tmp_path: Path
) -> None:
    path = tmp_path / "main.json"
    path.write_text(text_of(make_baseline(**fields)), encoding="utf-8")
    with pytest.raises(BaselineError) as caught:
        read_baseline(str(path))
    assert told in str(caught.value)
