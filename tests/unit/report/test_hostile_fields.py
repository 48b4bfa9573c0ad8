"""Fields of stored files that would move a cursor or start a line of their own, in every face."""

from __future__ import annotations

import io
import unicodedata
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from equivcheck.checks.verdict import judge
from equivcheck.cli import main as cli
from equivcheck.cli.output import Output
from equivcheck.core.findings import Finding, Outcome, Reason
from equivcheck.metrics.records_file import BenchWriter
from equivcheck.pipeline.assertions import EquivalenceResult, message_of
from equivcheck.plugin.failing import GateNotPassed, failure_text
from equivcheck.plugin.marker import MARKER_NAME, Marker
from equivcheck.plugin.properties import RunNote
from equivcheck.plugin.summary import write_summary
from equivcheck.records.records import CANDIDATE, TARGET, Evidence, SuiteRef
from equivcheck.report.export.profile import profile_of
from equivcheck.report.step_summary import VARIABLE
from equivcheck.report.terminal import show
from equivcheck.report.view import view_of
from tests.unit.cli.test_main import store
from tests.unit.make import make_evidence, make_generation
from tests.unit.metrics.make import make_bench
from tests.unit.report.test_html import assert_harmless
from tests.unit.report.test_report import Terminal

FORGED = "## FORGED"
HOSTILE = f"x\x1b]0;owned\x07\x1b[2J\u202e\n\n{FORGED}\n\r{FORGED}\u2028{FORGED}"


@pytest.fixture(autouse=True)
def summary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "summary.md"))
    return tmp_path / "summary.md"


def hostile_evidence() -> Evidence:
    """Named `HOSTILE` wherever the file may say so; one of the planned cases has no answer."""
    answers = [make_generation(key=f"{HOSTILE}/one")]
    planned = [f"{HOSTILE}/one", f"{HOSTILE}/two"]
    evidence = make_evidence(
        {TARGET: answers, CANDIDATE: answers},
        planned={TARGET: planned, CANDIDATE: planned},
        run=HOSTILE,
        created=HOSTILE,
        git_commit=f"\n\n## {HOSTILE}",
        suites=(SuiteRef(path=HOSTILE, workload=HOSTILE, digest=HOSTILE, cases=1),),
        environment={"cpu": HOSTILE},
        models={"draft": HOSTILE},
    )
    asked = {key: msgspec.structs.replace(a, workload=HOSTILE) for key, a in evidence.asked.items()}
    return msgspec.structs.replace(evidence, asked=asked)


def assert_quiet(text: str) -> None:
    assert text
    hidden = {c for c in text if unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"}}
    assert hidden <= {"\n"}
    assert not any(line.strip().startswith(FORGED) for line in text.splitlines())


def test_no_face_of_a_run_lets_them_out(
    summary: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = store(hostile_evidence(), tmp_path / "run").parent
    for arguments, code in (
        (["judge", str(folder)], 3),
        (["report", str(folder)], 3),
        (["export", str(folder), "--prometheus", "-"], 0),
        (["export", str(folder), "--speculation-profile", "-"], 0),
        (["baseline", "save", str(folder), "--force", HOSTILE], 0),
        (["baseline", "show"], 0),
        (["baseline", "list"], 0),
        (["baseline", "trend", "main", str(folder)], 0),
        (["compare", "main", str(folder)], 3),
        (["compare", "main", str(folder), "--markdown", "-"], 3),
        (["replay", str(folder), "code/one"], 2),
    ):
        assert cli.run(arguments) == code
        shown = capsys.readouterr()
        assert_quiet(shown.out + shown.err)
    for name in ("report.txt", "report.md"):
        assert_quiet((folder / name).read_text(encoding="utf-8"))
    assert_harmless((folder / "report.html").read_text(encoding="utf-8"))
    assert_quiet(summary.read_text(encoding="utf-8"))


def test_a_coloured_terminal_gets_the_same_words() -> None:
    evidence = hostile_evidence()
    screen, pipe = Terminal(), io.StringIO()
    show(view_of(evidence, judge(evidence)), screen)
    show(view_of(evidence, judge(evidence)), pipe)
    assert "\x1b]" not in screen.getvalue()
    assert "\x1b[2J" not in screen.getvalue()
    assert screen.getvalue().count("\n") == pipe.getvalue().count("\n")


def test_a_profile_is_fit_for_publishing() -> None:
    conditions = profile_of(hostile_evidence())["measurement_conditions"]
    ((workload, digest),) = conditions["dataset"].items()
    for text in (workload, digest, conditions["run"], conditions["created"]):
        assert_quiet(text)


class Lines:
    """What pytest's reporter is asked to print."""

    def __init__(self, started_in: Path) -> None:
        self.text = ""
        self.config = SimpleNamespace(invocation_params=SimpleNamespace(dir=started_in))

    def section(self, title: str) -> None:
        self.line(title)

    def line(self, line: str) -> None:
        self.text += f"{line}\n"


@pytest.mark.parametrize("failure", [None, HOSTILE])
def test_pytest_sums_up_without_them(failure: str | None, tmp_path: Path) -> None:
    folder = store(hostile_evidence(), tmp_path / "run").parent
    marker = Marker(session="s", failure=failure, note=HOSTILE)
    (folder / MARKER_NAME).write_bytes(msgspec.json.encode(marker))
    note = RunNote(folder=folder.name, session="s", selected=1, collected=1)
    lines = Lines(folder.parent)
    write_summary(lines, msgspec.json.encode(note).decode())  # type: ignore[arg-type]
    assert_quiet(lines.text)
    assert "FORGED" in lines.text


def test_failures_of_tests_are_told_without_them(tmp_path: Path) -> None:
    evidence = hostile_evidence()
    found = Finding(
        check="greedy",
        subject=HOSTILE,
        outcome=Outcome.INCONCLUSIVE,
        reason=Reason.MISSING,
        headline=HOSTILE,
        details=(HOSTILE,),
        repeat=f"equivcheck replay {HOSTILE}",
    )
    assert_quiet(str(failure_text(GateNotPassed([found]), path="a", line=1)))
    comparison = EquivalenceResult(verdict=judge(evidence), evidence=evidence, folder=tmp_path)
    assert_quiet(message_of(comparison))


def test_no_face_of_a_measurement_lets_them_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench = make_bench(workloads=(HOSTILE,))
    header = msgspec.structs.replace(
        bench.header,
        run=HOSTILE,
        created=HOSTILE,
        environment={"device": HOSTILE, "cpu": HOSTILE},
    )
    folder = tmp_path / "bench"
    with BenchWriter.create(folder / "bench.jsonl", header) as writer:
        writer.append(*bench.measured, *bench.probed, *bench.sessions)
    for arguments in (
        ["report", str(folder)],
        ["bench", "--show", "--out", str(folder)],
        ["advise", str(folder)],
        ["baseline", "save", str(folder)],
        ["baseline", "show"],
        ["compare", "main", str(folder)],
    ):
        cli.run(arguments)
        shown = capsys.readouterr()
        assert "Traceback" not in shown.err
        assert_quiet(shown.out)
        assert_quiet(shown.err or "quiet")
    assert_harmless((folder / "bench.html").read_text(encoding="utf-8"))


def test_words_keep_their_own_line_ends_and_backslashes(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output(as_json=False)
    output.say("one\\n\ntwo\x1b")
    output.say_lines(["three\\n", "four\n\x1b"])
    assert capsys.readouterr().out == "one\\n\ntwo\\x1b\nthree\\n\nfour\\n\\x1b\n"
