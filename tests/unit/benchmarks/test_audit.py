"""The audit's rows can be run and name what is there; the page is what they and the figures say."""

from __future__ import annotations

import tomllib

import pytest

from benchmarks.audit import FOLDER, ROOT, Row, cells, figures_of, read_rows, table
from equivcheck.engines.naming import EngineSpec

ROWS = read_rows()
FIGURES = {
    "workloads": [
        {"cases": 5, "identical": 4, "acceptance": 0.25},
        {"cases": 2, "identical": 2, "acceptance": 0.5},
        {"cases": 0, "identical": 0, "acceptance": None},
    ],
    "law": {"tokens": 20480, "refuted": False},
    "exit": 1,
    "minutes": 2.5,
}


def known() -> set[str]:
    project = tomllib.loads((ROOT / "examples" / "pyproject.toml").read_text())["project"]
    return {*project["entry-points"]["equivcheck.engines"], "transformers"}


def test_names_are_given_once() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_a_row_names_what_is_there(row: Row) -> None:
    assert {EngineSpec.parse(spec).name for spec in (row.target, row.candidate)} <= known()
    assert all((ROOT / "suites" / f"{suite}.jsonl").exists() for suite in row.suites.split())
    assert not row.script or (FOLDER / row.script).exists()
    assert all("==" in package for package in row.packages[:1])


def test_what_failed_has_its_line_and_its_script_or_is_read_off_the_source() -> None:
    failed = [row for row in ROWS if (found := figures_of(row)) and found["exit"] == 1]
    assert [row.name for row in failed if not row.line or row.control] == []


def test_a_line_of_the_table() -> None:
    row = Row(name="one", packages=("pack==1.0",), candidate="one", control=True)
    assert cells(row, FIGURES) == (
        "| one *control* | pack 1.0 | NOT EQUIVALENT | 6/7 | 0.25 to 0.50 | 20,480, held | 2.5 |"
    )
    assert "not run yet" in cells(row, None)


def test_the_page_is_up_to_date() -> None:
    assert (FOLDER / "README.md").read_text() == "\n".join(table(ROWS)) + "\n"
