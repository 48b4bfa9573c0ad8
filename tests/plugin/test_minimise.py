"""``equivcheck replay --minimise``: a failure made smaller, as a suite that fails when run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from equivcheck.cli import main as cli
from equivcheck.core.engine import Engine
from equivcheck.core.load_suites import load_suite
from equivcheck.core.settings import EngineSetup
from equivcheck.engines.opening import Opening
from equivcheck.engines.registry import load_engine
from tests.plugin.conftest import Project

SHY = "toy:gamma=2,wrong=two,shy=true"
"""Wrong from the fourth token on, and among neighbours only."""


@pytest.fixture(autouse=True)
def _inside(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.path)
    project.suite("code", ["one", "two", "three", "four", "five", "six"])


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Engines opened, in order."""
    names: list[str] = []

    def counted(spec: str, setup: EngineSetup, *, opening: Opening) -> Engine:
        names.append(spec)
        return load_engine(spec, setup, opening=opening)

    monkeypatch.setattr("equivcheck.capture.arms.load_engine", counted)
    return names


def test_company_prompt_and_output_shrink_and_the_suite_fails(
    opened: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    cli.run(["run", "--candidate", SHY])
    opened.clear()
    capsys.readouterr()
    assert cli.run(["replay", "latest", "code/two", "--minimise", "small.jsonl"]) == 1
    shown = capsys.readouterr().out
    assert shown.startswith("FAILED code/two by greedy, made smaller in ")
    assert "  neighbours: 3 -> 1\n" in shown
    assert "  output: 12 -> 4 tokens at most\n" in shown
    suite = load_suite("small.jsonl")
    assert sorted(len(case.token_ids or ()) for case in suite.cases) == [1, 1]
    assert next(case for case in suite.cases if case.id == "two").max_new_tokens == 4
    # Once each for all tries; then target, candidate, control and repeat of the last, whole run.
    assert len(opened) == 2 + 4
    command = shown.rstrip().splitlines()[-1]
    assert command.startswith("repeat: equivcheck run small.jsonl --set target=toy ")
    assert cli.run([*command.split()[2:], "--out", "again"]) == 1
    assert "candidate diverged from target at output token 3 of 4" in capsys.readouterr().out


def test_what_fails_alone_needs_no_company(capsys: pytest.CaptureFixture[str]) -> None:
    cli.run(["run", "--candidate", "toy:gamma=2,wrong=two"])
    capsys.readouterr()
    arguments = ["replay", "latest", "code/two", "--minimise", "small.jsonl", "--json"]
    assert cli.run(arguments) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["after"] == {"neighbours": 0, "prompt": 1, "output": 4}
    assert (told["check"], told["fails"], told["exit_code"]) == ("greedy", True, 1)


def test_tries_are_bounded_and_what_was_seen_to_fail_is_kept(
    capsys: pytest.CaptureFixture[str],
) -> None:
    cli.run(["run", "--candidate", SHY])
    capsys.readouterr()
    arguments = ["replay", "latest", "code/two", "--minimise", "small.jsonl", "--tries", "3"]
    assert cli.run(arguments) == 1
    assert "made smaller in 3 tries" in capsys.readouterr().out
    assert len(load_suite("small.jsonl").cases) > 1


@pytest.mark.parametrize("key", ["code/one", "code/two"])
def test_what_does_not_fail_is_not_made_smaller(
    key: str, project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.run(["run", "--candidate", "toy:gamma=2,wrong=two"])
    project.write("mended", "")
    assert cli.run(["replay", "latest", key, "--minimise", "small.jsonl"]) == 2
    said = "did not fail by greedy" if key == "code/one" else "fails by greedy no more"
    assert f"equivcheck: ERROR {key}: {key} {said}" in capsys.readouterr().err
    assert not Path("small.jsonl").exists()


def test_tries_without_minimise_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["replay", "latest", "code/two", "--tries", "3"]) == 2
    assert "--tries goes with --minimise" in capsys.readouterr().err
