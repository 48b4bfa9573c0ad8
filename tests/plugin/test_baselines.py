"""Baselines from the first run to a gate that fails, on the command line and in pytest."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from equivcheck.cli import main as cli
from equivcheck.records.records_file import read_evidence
from tests.plugin.conftest import SETTINGS, Project

TOY = "toy:gamma=2"
DULL = f"{TOY},dull=true"
LIMITS = f'{SETTINGS}baseline = "main"\n\n[workload.code]\nmax_acceptance_drop = 0.05\n'
SAVED = Path(".equivcheck/baselines/main.json")


@pytest.fixture(autouse=True)
def _inside(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.path)


@pytest.fixture
def saved(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["run"]) == 0
    assert cli.run(["baseline", "save"]) == 0
    capsys.readouterr()


def out(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


@pytest.mark.usefixtures("saved")
def test_a_slower_draft_is_a_regression(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["run", "--candidate", DULL, "--out", "reports/dull"]) == 0
    capsys.readouterr()
    assert cli.run(["compare", "main", "dull"]) == 1
    lines = out(capsys)
    assert lines[0].startswith("REGRESSED — acceptance of code")
    assert lines[-1] == "equivcheck compare main dull"
    assert cli.run(["compare", "main", "latest", "--json"]) == 0
    assert json.loads(out(capsys)[0])["rows"][0]["acceptance"]["state"] == "same"


@pytest.mark.usefixtures("saved")
def test_a_diverged_case_comes_first(capsys: pytest.CaptureFixture[str]) -> None:
    wrong = f"{TOY},wrong=two"
    assert cli.run(["run", "--candidate", wrong, "--out", "reports/wrong"]) == 1
    capsys.readouterr()
    assert cli.run(["compare", "main", "wrong", "--markdown", "comparison.md"]) == 1
    lines = out(capsys)
    assert lines[0].startswith("NOT EQUIVALENT — 1 case is not the target's, 1 of them newly")
    assert lines[4] == "✗ newly diverged code/two (identical in the base)"
    assert lines[-1] == "equivcheck replay wrong code/two"
    assert Path("comparison.md").read_text().startswith("## NOT EQUIVALENT")
    assert cli.run(["baseline", "accept", "wrong"]) == 2
    assert "--force REASON" in capsys.readouterr().err
    assert cli.run(["baseline", "accept", "wrong", "--force", "known, see 12"]) == 0
    assert json.loads(SAVED.read_text())["forced"] == "known, see 12"


@pytest.mark.usefixtures("saved")
def test_other_suites_are_not_comparable(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    project.suite("code", ["one", "two", "four"])
    assert cli.run(["run"]) == 0
    capsys.readouterr()
    assert cli.run(["compare", "main", "latest"]) == 3
    lines = out(capsys)
    assert lines[0].startswith("NOT COMPARABLE — suites.code: ")
    assert lines[-1] == "equivcheck baseline accept latest --name main"
    assert cli.run(["baseline", "accept", "latest", "--name", "main"]) == 0
    assert cli.run(["compare", "main", "latest"]) == 0


@pytest.mark.usefixtures("saved")
def test_what_cannot_be_read_is_never_a_pass(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["compare", "mian", "latest"]) == 3
    assert out(capsys)[0].startswith("NO BASELINE — missing: mian: no baseline in")
    SAVED.write_text('{"equivcheck_baseline": 2}')
    assert cli.run(["compare", "main", "latest"]) == 3
    assert out(capsys)[0].startswith("NO BASELINE — from a newer version:")
    assert cli.run(["baseline", "list"]) == 3
    assert cli.run(["baseline", "show", "--json"]) == 3
    assert json.loads(out(capsys)[-1])["fix"] == "pip install --upgrade equivcheck"
    assert cli.run(["run", "--baseline", "main"]) == 3
    assert "baseline: from a newer version" in " ".join(out(capsys))


@pytest.mark.usefixtures("saved")
def test_saving_twice_is_refused_and_accepting_keeps_history(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.run(["baseline", "save"]) == 2
    assert "equivcheck baseline accept" in capsys.readouterr().err
    assert cli.run(["run", "--candidate", DULL, "--out", "reports/dull"]) == 0
    assert cli.run(["baseline", "accept", "dull"]) == 0
    capsys.readouterr()
    assert cli.run(["baseline", "trend"]) == 0
    assert out(capsys)[0] == "acceptance over 2 states of main"
    assert cli.run(["baseline", "show"]) == 0
    assert "code      3" in capsys.readouterr().out


@pytest.mark.usefixtures("saved")
def test_a_limit_gates_runs_and_judging_needs_no_file(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    project.settings(LIMITS)
    assert cli.run(["run"]) == 0
    capsys.readouterr()
    assert cli.run(["run", "--candidate", DULL]) == 1
    shown = "\n".join(out(capsys))
    assert shown.startswith("LIMIT NOT MET — speculative matched target token for token on 3 of 3")
    assert "vs base" in shown
    SAVED.unlink()
    assert cli.run(["judge", "latest"]) == 1
    assert "\n".join(out(capsys)) == shown
    found = read_evidence("reports/latest").against
    assert found is not None
    assert found.baseline is not None


@pytest.mark.usefixtures("saved")
def test_pytest_has_a_gate_for_what_is_limited_only(project: Project) -> None:
    before = project.pytest("suites", "--collect-only", "-q").outlines
    assert not [line for line in before if line.endswith(("::acceptance", "::baseline"))]
    project.settings(LIMITS)
    project.suite("chat", ["hello"])
    lines = project.pytest("suites", "--collect-only", "-q").outlines
    assert "suites/code.jsonl::acceptance" in lines
    assert "suites/chat.jsonl::acceptance" not in lines


@pytest.mark.usefixtures("saved")
def test_pytest_fails_by_the_limit(project: Project) -> None:
    project.settings(LIMITS)
    result = project.pytest("suites", f"--equivcheck-candidate={DULL}")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert result.parseoutcomes()["failed"] == 1
    result.stdout.fnmatch_lines(
        [
            "acceptance 0.*: a drop of 0.05 is allowed",
            "*repeat: equivcheck compare main *reports/latest",
            "FAILED suites/code.jsonl::acceptance*",
        ]
    )
    assert project.pytest("suites").ret == 0


def test_pytest_without_the_baseline_is_inconclusive(project: Project) -> None:
    project.settings(LIMITS)
    result = project.pytest("suites", "-k", "acceptance or baseline")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert result.parseoutcomes()["failed"] == 2
    result.stdout.fnmatch_lines(
        ["INCONCLUSIVE: *missing*", "*equivcheck baseline save --name main"]
    )


def test_the_option_names_a_baseline(project: Project) -> None:
    result = project.pytest("suites", "--equivcheck-baseline=nightly")
    result.stdout.fnmatch_lines(["*missing: *nightly.json: no such baseline*"])
    assert result.parseoutcomes()["failed"] == 1
