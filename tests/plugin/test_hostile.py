"""A run whose prompts, answers, engine and errors are hostile, in every face there is."""

from __future__ import annotations

import json
import unicodedata
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from markdown_it import MarkdownIt
from prometheus_client.parser import text_string_to_metric_families

from equivcheck.cli import main as cli
from equivcheck.core.escape import width
from equivcheck.pairs.load import load_tokenizer
from equivcheck.report import html
from equivcheck.report.step_summary import VARIABLE
from tests.plugin.conftest import Project
from tests.plugin.hostile import TEXT
from tests.unit.report.test_html import assert_harmless

LONGEST_ID = "parts-" + "a" * 94
SUITE = "suites/a<b>|`c`.jsonl"
SETTINGS = 'target = "hostile"\ncandidate = "hostile:gamma=2,parts=true"\ncontrol = "none"\n'


class Faces(NamedTuple):
    """Everything that was written and printed of one run."""

    folder: Path
    printed: str
    document: str
    summary: str
    metrics: str


def hostile_suite(project: Project) -> None:
    size = len(load_tokenizer("tiny").encode(TEXT))
    grader = {"kind": "exact", "answer": TEXT[:40]}
    cases: list[dict[str, Any]] = [
        {"id": LONGEST_ID, "prompt": TEXT, "max_new_tokens": size, "grader": grader},
        {"id": "parts-2", "prompt": TEXT * 2, "max_new_tokens": 40, "stop": [TEXT]},
        {"id": "fine", "prompt": TEXT, "max_new_tokens": size},
        {"id": "broken", "prompt": TEXT, "max_new_tokens": 8},
    ]
    header = {"equivcheck": 1, "workload": "w" * 40, "description": TEXT}
    (project.path / "suites/code.jsonl").unlink()
    project.write(SUITE, "".join(f"{json.dumps(line)}\n" for line in [header, *cases]))
    installed = project.path / "hostile-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: hostile\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text(
        "[equivcheck.engines]\nhostile = tests.plugin.hostile:open_engine\n"
    )
    project.settings(SETTINGS)


@pytest.fixture
def faces(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Faces:
    hostile_suite(project)
    summary = project.path / "summary.md"
    monkeypatch.chdir(project.path)
    monkeypatch.setenv(VARIABLE, str(summary))
    told = []
    for arguments in (
        ["run", "suites"],
        ["judge", "reports/latest", "--json"],
        ["export", "reports/latest", "--prometheus"],
    ):
        code = cli.run(arguments)
        shown = capsys.readouterr()
        assert code == (0 if arguments[0] == "export" else 1), shown.err
        told.append(shown.out)
    printed, document, metrics = told
    return Faces(
        folder=project.path / "reports/latest",
        printed=printed,
        document=document,
        summary=summary.read_text(encoding="utf-8"),
        metrics=metrics,
    )


def assert_plain(text: str) -> None:
    """Nothing that moves a cursor, hides, or reorders what a reader sees."""
    hidden = {c for c in text if unicodedata.category(c) in {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}}
    assert hidden <= {"\n"}


def test_no_face_lets_it_out(faces: Faces, capsys: pytest.CaptureFixture[str]) -> None:
    look_at_words(faces)
    look_at_page(faces)
    look_at_data(faces)
    look_at_markdown(faces)
    assert cli.run(["replay", str(faces.folder), f"{'w' * 40}/parts-2", "--alone"]) == 1
    shown = capsys.readouterr()
    assert_plain(shown.out)
    assert "FAILED" in shown.out


def look_at_words(faces: Faces) -> None:
    for text in (faces.printed, (faces.folder / "report.txt").read_text(encoding="utf-8")):
        assert_plain(text)
        assert "diverged from target at output token" in text
        assert "<script>" in text  # said, and harmless there
        long = [line for line in text.splitlines() if width(line) > 100]
        assert all(line.startswith("  repeat: ") for line in long)
        assert not any(line.startswith("::") for line in text.splitlines())


def look_at_page(faces: Faces) -> None:
    page = (faces.folder / "report.html").read_text(encoding="utf-8")
    assert_harmless(page)
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "{{ 7 * 7 }}" in page
    assert len(page.encode()) <= html.MOST_BYTES


def look_at_data(faces: Faces) -> None:
    assert_plain(faces.document)
    assert faces.document.count("\n") == 1
    assert json.loads(faces.document)["outcome"] == "fail"
    assert_plain(faces.metrics)
    families = {family.name: family for family in text_string_to_metric_families(faces.metrics)}
    (info,) = families["equivcheck_run_info"].samples
    assert info.labels["candidate"].startswith("<script>alert(1)</script>")
    assert all(width(value) <= 120 for value in info.labels.values())


def look_at_markdown(faces: Faces) -> None:
    document = (faces.folder / "report.md").read_text(encoding="utf-8")
    assert faces.summary == document
    assert_plain(document)
    assert len(document.encode()) < 100_000
    rendered = MarkdownIt("commonmark", {"html": True}).enable("table").render(document)
    for tag in ("<script", "<img", "<a ", "<!--", "<h1"):
        assert tag not in rendered
    tables = [part.partition("</table>")[0] for part in rendered.split("<table>")[1:]]
    assert len(tables) >= 3
    for table in tables:
        rows = table.split("<tr>")[1:]
        assert len({row.count("<td") + row.count("<th>") for row in rows}) == 1


def test_pytest_and_junit(project: Project) -> None:
    hostile_suite(project)
    result = project.pytest("suites", "--junitxml=junit.xml")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    shown = result.stdout.str()
    assert "diverged from target at output token" in shown
    assert_plain(shown)
    assert len(shown) < 100_000
    root = ElementTree.parse(project.path / "junit.xml").getroot()
    assert_plain("".join(root.itertext()))
    assert_plain("".join(value for each in root.iter() for value in each.attrib.values()))
    known = {"testsuites", "testsuite", "testcase", "properties", "property"}
    assert {each.tag for each in root.iter()} <= known | {"failure", "error", "skipped"}
    for each in root.iter("property"):
        json.loads(each.attrib["value"])
        assert len(each.attrib["value"]) < 2000
