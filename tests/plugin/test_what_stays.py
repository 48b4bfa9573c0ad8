"""What stays where a command could not run, and what is said where nothing can be written."""

from __future__ import annotations

from pathlib import Path

import pytest

from equivcheck.cli import main as cli
from equivcheck.metrics.records_file import read_bench
from equivcheck.plugin.marker import MARKER_NAME
from tests.plugin.conftest import Project

TOY = "toy:gamma=2"
LATEST = Path("reports/latest")
NOWHERE = "/dev/null/x"
UNWRITABLE = f"{NOWHERE}: cannot be written: Not a directory"


@pytest.fixture(autouse=True)
def _inside(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.path)


def kept(folder: Path = LATEST) -> dict[str, bytes]:
    """The files of a run, without what a session leaves to its workers."""
    return {
        path.name: path.read_bytes()
        for path in folder.iterdir()
        if path.name not in {MARKER_NAME, ".lock"}
    }


@pytest.mark.parametrize(
    "wrong",
    [
        ("--candidate", "toyy"),
        ("--candidate", "native:gama=4"),
        ("--target", "native:gamma=99"),
        ("--pair", "tiny+tiny:9bits"),
        ("--candidate", f"{TOY},unopened=true"),
        ("--candidate", "toyy", "--fresh"),
    ],
    ids=" ".join,
)
def test_a_command_that_could_not_run_replaces_nothing(wrong: tuple[str, ...]) -> None:
    assert cli.run(["run"]) == 0
    before = kept()
    assert "report.html" in before
    assert cli.run(["run", *wrong]) == 2
    assert kept() == before


def test_ctrl_c_before_the_first_answer_costs_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["run"]) == 0
    before = kept()
    assert cli.run(["run", "--target", "toy:interrupt=code"]) == 130
    assert "interrupted; nothing was captured yet" in capsys.readouterr().err
    assert kept() == before


def test_fresh_costs_an_unfinished_run_only_where_another_begins() -> None:
    assert cli.run(["run", "--candidate", f"{TOY},interrupt=two"]) == 130
    before = kept()
    assert cli.run(["run", "--target", "toy:interrupt=code", "--fresh"]) == 130
    assert kept() == before
    assert (
        cli.run(["run", "--candidate", f"{TOY},interrupt=two", "--only", "code/one", "--fresh"])
        == 0
    )
    assert kept() != before


def test_a_session_that_could_not_run_replaces_nothing(project: Project) -> None:
    assert project.pytest("suites").ret == 0
    before = kept()
    result = project.pytest("suites", "--equivcheck-candidate=toyy")
    result.stdout.fnmatch_lines(["NO VERDICT — EngineError: no engine named 'toyy'*"])
    assert kept() == before


def test_a_session_that_could_not_run_moves_nothing_aside(project: Project) -> None:
    assert cli.run(["run", "--candidate", f"{TOY},interrupt=two"]) == 130
    before = kept()
    project.pytest("suites", "--equivcheck-candidate=toyy")
    assert kept() == before
    assert [path.name for path in LATEST.parent.iterdir()] == ["latest"]


def test_a_measurement_that_could_not_begin_replaces_nothing() -> None:
    bench = ["bench", "suites/code.jsonl", "--prompts", "1", "--tokens", "4", "--no-stock"]
    bench += ["--target", "toy", "--out", "b.jsonl"]
    assert cli.run([*bench, "--candidate", TOY]) == 0
    before = read_bench("b.jsonl")
    assert cli.run([*bench, "--candidate", "toyy"]) == 2
    assert cli.run([*bench, "--candidate", f"{TOY},crash=code"]) == 2
    assert read_bench("b.jsonl") == before


@pytest.mark.parametrize(
    "command",
    [
        ("run", "--out", NOWHERE),
        ("bench", "suites/code.jsonl", "--out", NOWHERE),
        ("faults", "--only", "drafts-overcounted", "--out", NOWHERE),
        ("compare", "latest", "latest", "--markdown", NOWHERE),
        ("export", "latest", "--prometheus", NOWHERE),
    ],
    ids=lambda command: command[0],
)
def test_a_place_that_cannot_be_written_is_named(
    command: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["run"]) == 0
    capsys.readouterr()
    assert cli.run(command) == 2
    assert capsys.readouterr().err.splitlines()[-1] == f"equivcheck: {UNWRITABLE}"


def test_a_report_that_cannot_be_written_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["run"]) == 0
    (LATEST / ".report.txt.part").mkdir()
    capsys.readouterr()
    assert cli.run(["report", "latest"]) == 2
    told = f"equivcheck: {LATEST}/report.txt: cannot be written: Is a directory\n"
    assert capsys.readouterr().err == told


def test_a_baseline_that_cannot_be_saved_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["run"]) == 0
    Path(".equivcheck").touch()
    capsys.readouterr()
    assert cli.run(["baseline", "save"]) == 2
    told = "equivcheck: .equivcheck/baselines/main.json: cannot be written: Not a directory\n"
    assert capsys.readouterr().err == told


def test_a_session_without_a_place_was_not_interrupted(project: Project) -> None:
    result = project.pytest("suites", f"--equivcheck-out={NOWHERE}")
    result.assert_outcomes(errors=11)
    shown = result.stdout.str()
    assert f"NO VERDICT — {UNWRITABLE}\n" in shown
    assert ".py:" not in shown


def test_workers_without_a_place_say_so(project: Project) -> None:
    done = project.distributed("suites", f"--equivcheck-out={NOWHERE}")
    assert f"NO VERDICT — {UNWRITABLE}\n" in done.stdout
