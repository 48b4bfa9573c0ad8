"""Grades stand in every face where something was graded, with the same numbers."""

from __future__ import annotations

import re

import msgspec

from equivcheck.records.records import CANDIDATE, TARGET, Evidence, Grade, GradeResult
from equivcheck.report import html, markdown, terminal
from equivcheck.report.grades import grade_cells, off_words
from tests.unit.report.test_html import Page, assert_harmless
from tests.unit.report.test_report import make_run, view


def graded_run() -> Evidence:
    results: dict[str, tuple[GradeResult, GradeResult]] = {
        "code/c0": ("right", "right"),
        "code/c1": ("right", "wrong"),
        "code/c2": ("off", "off"),
        "chat/c0": ("wrong", "wrong"),
        "creative/c3": ("off", "off"),
        "json_sql/c0": ("broken", "broken"),
    }
    grades = tuple(
        Grade(key=key, arm=arm, grader="regex", result=result, why="says the grader")
        for key, pair in results.items()
        for arm, result in zip((TARGET, CANDIDATE), pair, strict=True)
    )
    return msgspec.structs.replace(make_run(parted=["code/c1"]), grades=grades)


def test_rows_count_what_was_graded_on_both_arms() -> None:
    rows = view(graded_run()).grades
    assert [grade_cells(row) for row in rows] == [
        ("code", "2/2", "1/2", "1/2"),
        ("chat", "0/1", "0/1", "1/1"),
        ("creative", "n/a", "n/a", "n/a"),
    ]
    assert (off_words(rows) or "").startswith("2 cases are not graded: ")


def test_every_face_says_the_same() -> None:
    shown = view(graded_run())
    plain = terminal.render(shown)
    page = assert_harmless(html.render(shown)).text
    for row in shown.grades:
        cells = grade_cells(row)
        assert re.search(r" +".join(map(re.escape, cells)), plain)
        assert f"| {' | '.join(cells)} |" in markdown.render(shown)
        assert " ".join(cells) in page
    off = off_words(shown.grades)
    assert off is not None
    assert off in plain
    assert off in page
    assert markdown.escape(off) in markdown.render(shown)
    opened = [block.finding.headline for block in shown.problems]
    assert "1 case could not be graded" in opened
    assert all(headline in page for headline in opened)


def test_without_grades_nothing_is_said() -> None:
    shown = view(make_run())
    assert shown.grades == ()
    for text in (terminal.render(shown), markdown.render(shown)):
        assert "graded" not in text
    assert Page(html.render(shown)).text.count("graded the same") == 1  # in the definitions
