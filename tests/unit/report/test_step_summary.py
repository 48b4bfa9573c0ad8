"""GitHub's step summary: added to, once, and never over its limit."""

from __future__ import annotations

from pathlib import Path

import pytest

from equivcheck.report import step_summary
from equivcheck.report.step_summary import VARIABLE, add_to_step_summary, fitting
from equivcheck.report.write import write_reports
from tests.unit.report.test_report import make_run, view


@pytest.fixture
def summary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "summary.md"
    monkeypatch.setenv(VARIABLE, str(path))
    return path


def test_a_run_adds_its_markdown_once(summary: Path, tmp_path: Path) -> None:
    summary.write_text("# Earlier\n")
    for _ in range(2):
        write_reports(tmp_path / "run", view(make_run()))
    markdown = (tmp_path / "run" / "report.md").read_text(encoding="utf-8")
    assert summary.read_text(encoding="utf-8") == f"# Earlier\n\n{markdown}"


def test_elsewhere_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    add_to_step_summary("text\n")
    assert list(tmp_path.iterdir()) == []


def test_a_summary_that_cannot_be_written_is_let_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "gone" / "summary.md"))
    add_to_step_summary("text\n")
    assert list(tmp_path.iterdir()) == []


def test_the_whole_file_keeps_to_the_limit(summary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_summary, "MOST_BYTES", 200)
    summary.write_bytes(b"x" * 100)
    add_to_step_summary("verdict\n\n" + "é" * 30 + "\n\n" + "y" * 90 + "\n")
    assert summary.stat().st_size <= 200
    assert summary.read_text(encoding="utf-8").endswith("\n\n… the rest is in report.md\n")
    full = summary.read_bytes()
    add_to_step_summary("z" * 90 + "\n\nno room for this\n")
    assert summary.read_bytes() == full


def test_a_document_is_cut_between_paragraphs() -> None:
    document = "one\n\ntwo\n\n" + "three" * 20 + "\n"
    assert fitting(document, room=1000) == document
    assert fitting(document, room=60) == "one\n\ntwo\n\n… the rest is in report.md\n"
    assert fitting(document, room=30) == ""
