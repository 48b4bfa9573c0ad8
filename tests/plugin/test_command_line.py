"""The command line from suites to verdict, with the toy engine; interrupted, resumed, repeated."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from equivcheck.cli import main as cli
from equivcheck.records.records import CANDIDATE
from equivcheck.records.records_file import RECORDS_NAME, read_evidence
from tests.plugin.conftest import Project

TOY = "toy:gamma=2"
LATEST = Path("reports/latest")


@pytest.fixture(autouse=True)
def _inside(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.path)


@pytest.mark.parametrize(
    ("candidate", "code", "word"),
    [
        (TOY, 0, "EQUIVALENT"),
        (f"{TOY},wrong=two", 1, "NOT EQUIVALENT"),
        ("toy:gamma=0", 3, "INCONCLUSIVE"),
        (f"{TOY},crash=two", 3, "INCONCLUSIVE"),
    ],
)
def test_run_exits_by_the_verdict(
    candidate: str, code: int, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["run", "--candidate", candidate]) == code
    shown = capsys.readouterr()
    assert shown.out.startswith(word)
    assert shown.err == ""
    assert (LATEST / "report.txt").is_file()


def test_run_exits_with_2_where_an_engine_never_answers(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.run(["run", "--candidate", f"{TOY},crash=code", "--json"]) == 2
    shown = capsys.readouterr()
    assert "RuntimeError: out of memory" in json.loads(shown.out)["error"]
    assert shown.err.startswith("equivcheck: candidate (toy:gamma=2) answered none of 3 cases")
    assert "Traceback" not in shown.err


@pytest.mark.parametrize(
    ("forgets", "words"), [("error", "no memory"), ("exit", "SystemExit(0) came before a verdict")]
)
def test_an_unforeseen_error_is_no_verdict(
    forgets: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["run", "--candidate", f"{TOY},forgets={forgets}", "--json"]) == 2
    shown = capsys.readouterr()
    assert json.loads(shown.out)["error"] == f"broke down with RuntimeError: {words}"
    assert "Traceback" in shown.err


def test_an_engine_that_leaves_python_has_failed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["run", "--candidate", f"{TOY},leave=code", "--json"]) == 2
    shown = capsys.readouterr()
    assert json.loads(shown.out)["error"].endswith("of code/one it says: SystemExit: 0")
    assert cli.run(["run", "--fresh", "--candidate", f"{TOY},leave=two"]) == 3
    assert "code/two: SystemExit: 0" in capsys.readouterr().out


def test_an_engine_that_cannot_be_opened_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["run", "--candidate", f"{TOY},unopened=true"]) == 2
    told = f"engine '{TOY},unopened=true' cannot be opened: RuntimeError: no memory for the weights"
    assert capsys.readouterr().err == f"equivcheck: {told}\n"


def test_an_engine_that_breaks_as_it_is_closed_costs_no_verdict(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert cli.run(["run", "--candidate", f"{TOY},unclosed=true"]) == 0
    assert read_evidence(LATEST).sealed is not None
    assert [record.getMessage() for record in caplog.records] == [
        f"{arm} (toy:gamma=2) broke as it was closed: RuntimeError: device lost"
        for arm in ("candidate", "repeat")
    ]


def test_an_answer_without_a_token_is_judged(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["run", "--candidate", f"{TOY},empty=two", "--set", "rescore_every=1"]) == 1
    assert capsys.readouterr().out.startswith("NOT EQUIVALENT")
    evidence = read_evidence(LATEST)
    assert evidence.sealed is not None
    (arbitration,) = (each for each in evidence.arbitrations if each.arm == CANDIDATE)
    assert (arbitration.position, arbitration.arm_gaps) == (0, ())


def test_json_says_what_the_terminal_says(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["run", "--candidate", f"{TOY},wrong=two", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert cli.run(["judge", "latest"]) == 1
    assert document["headline"] in capsys.readouterr().out
    assert document["workloads"][0]["identical"] == 2
    assert document["problems"][0]["finding"]["repeat"] == "equivcheck replay latest code/two"


def test_only_some_cases(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["run", "--only", "code/t*"]) == 0
    assert set(read_evidence(LATEST).asked) == {"code/two", "code/three"}


def test_a_finished_run_is_replaced(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["run", "--candidate", f"{TOY},wrong=two"]) == 1
    assert cli.run(["run"]) == 0
    assert read_evidence(LATEST).header.settings.candidate == TOY


def test_ctrl_c_says_what_is_kept_and_how_to_go_on(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["run", "--candidate", f"{TOY},interrupt=two"]) == 130
    # Target, candidate and control answer the probed case; then the target answers both others.
    assert "interrupted; 5 of 11 answers are kept in reports/latest" in capsys.readouterr().err
    assert cli.run(["judge", "latest"]) == 3
    project.write("survive", "")
    capsys.readouterr()
    assert cli.run(["run", "--candidate", f"{TOY},interrupt=two"]) == 0
    assert "going on with the unfinished run in reports/latest" in capsys.readouterr().err


def test_a_killed_run_is_gone_on_with_and_repeats_nothing(project: Project) -> None:
    candidate = f"{TOY},kill=three,log=asked.log"
    left = project.equivcheck("run", "--candidate", candidate)
    assert left.returncode == 2
    assert (
        "was ended by signal 9 (SIGKILL) before a verdict; what was measured is kept" in left.stderr
    )
    killed = read_evidence(LATEST)
    before = (LATEST / RECORDS_NAME).read_bytes()
    assert killed.sealed is None
    assert set(killed.captured["candidate"]) == {"code/one", "code/two"}
    project.write("survive", "")
    done = project.equivcheck("run", "--candidate", candidate, "--json")
    assert (done.returncode, json.loads(done.stdout)["outcome"]) == (0, "pass")
    assert "going on with the unfinished run" in done.stderr
    assert (LATEST / RECORDS_NAME).read_bytes().startswith(before)


def test_fresh_throws_an_unfinished_run_away(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["run", "--candidate", f"{TOY},interrupt=two"]) == 130
    assert cli.run(["run"]) == 2
    assert "settings.candidate is" in capsys.readouterr().err
    assert cli.run(["run", "--fresh"]) == 0


def test_commands_work_for_runs_kept_elsewhere(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.run(["run", "--candidate", f"{TOY},wrong=two", "--out", "kept/here"]) == 1
    command = "equivcheck replay kept/here code/two"
    assert f"repeat: {command}\n" in capsys.readouterr().out
    assert cli.run(command.split()[1:]) == 1


def test_replay_says_failed_and_shows_it(capsys: pytest.CaptureFixture[str]) -> None:
    cli.run(["run", "--candidate", f"{TOY},wrong=two"])
    capsys.readouterr()
    assert cli.run(["replay", "latest", "code/two"]) == 1
    shown = capsys.readouterr().out
    assert shown.startswith("FAILED code/two: fail then, fail now (alone)")
    assert "candidate diverged from target at output token 3 of 12" in shown
    assert "the candidate's answer is the same as in the stored run" in shown


def test_replay_says_fixed(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    cli.run(["run", "--candidate", f"{TOY},wrong=two"])
    project.write("mended", "")
    capsys.readouterr()
    assert cli.run(["replay", "latest", "code/two", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["status"], told["alone"], told["same_answer"]) == ("FIXED", False, False)


def test_replay_says_passed(capsys: pytest.CaptureFixture[str]) -> None:
    cli.run(["run"])
    capsys.readouterr()
    assert cli.run(["replay", "reports/latest", "code/two"]) == 0
    assert capsys.readouterr().out.startswith("PASSED code/two: pass then, pass now (alone)")


def test_replay_does_not_call_fixed_what_fails_among_neighbours(
    capsys: pytest.CaptureFixture[str],
) -> None:
    cli.run(["run", "--candidate", f"{TOY},wrong=two,shy=true"])
    capsys.readouterr()
    assert cli.run(["replay", "latest", "code/two"]) == 1
    assert capsys.readouterr().out.startswith(
        "FAILED code/two: fail then, fail now (among its neighbours)"
    )
    assert cli.run(["replay", "latest", "code/two", "--alone"]) == 0


def test_replay_says_error_where_it_cannot_run(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.run(["run", "--candidate", f"{TOY},crash=two"])
    assert cli.run(["replay", "latest", "code/two"]) == 2
    assert "equivcheck: ERROR code/two: candidate (toy:gamma=2) answered" in (
        capsys.readouterr().err
    )


def test_engines_lists_what_other_packages_bring(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["engines", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    place = "tests.plugin.toy:open_engine"
    assert listed["toy"] == {"loads": True, "module": place, "problem": None}


def test_engines_says_what_is_wrong_with_one(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    entry = project.path / "toy-1.0.dist-info/entry_points.txt"
    entry.write_text("[equivcheck.engines]\nbroken = tests.plugin.missing:open_engine\n")
    assert cli.run(["engines"]) == 0
    assert "cannot load: ModuleNotFoundError: No module named 'tests.plugin.missing'" in (
        capsys.readouterr().out
    )


def test_engines_says_what_each_needs_and_tells(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["engines"]) == 0
    assert "http: loads\n  does: a server by its URL" in capsys.readouterr().out


def test_engines_opens_one_and_shows_what_it_tells(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["engines", TOY]) == 0
    assert f"engine    {TOY}\n" in capsys.readouterr().out


def test_engines_suggests_a_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["engines", "natvie:gamma=4"]) == 2
    assert "no engine named 'natvie' (did you mean 'native'?)" in capsys.readouterr().err


def test_doctor_reports_a_contract_its_probes_and_its_price(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.run(["doctor", "--json", "--batch-size", "2"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["probes"][0]["name"] == "step"
    assert str(told["contract"]).startswith(("fixed-shape 2x8", "batch-invariant 1088 compiled"))
    broken = [probe for probe in told["probes"] if probe["differing"] and probe["required"]]
    assert (told["contract"] is None) == bool(broken)
    assert told["identity_tax"] == pytest.approx(told["step_seconds"] / told["narrow_seconds"])


def test_pairs_describes_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["pairs", "tiny"]) == 0
    shown = capsys.readouterr().out
    assert "parameters: " in shown
    assert "alignment: " in shown


def test_a_shell_that_completes_words_gets_verbs_and_options_and_no_noise() -> None:
    told = {}
    for words, at in (("equivcheck ru", 1), ("equivcheck run --ca", 2)):
        asked = {"_EQUIVCHECK_COMPLETE": "bash_complete", "COMP_WORDS": words}
        done = subprocess.run(
            [sys.executable, "-m", "equivcheck"],
            env=os.environ | asked | {"COMP_CWORD": str(at)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stderr == ""
        told[words] = done.stdout.split()
    assert told == {"equivcheck ru": ["plain,run"], "equivcheck run --ca": ["plain,--candidate"]}
