"""The plugin among pytest's own features: selection, JUnit, xdist, and sessions without suites."""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from equivcheck.cli import main as cli
from equivcheck.core.exit_codes import INTERRUPTED
from equivcheck.plugin.sniffing import is_suite
from equivcheck.records.records import CANDIDATE
from equivcheck.records.records_file import read_evidence
from tests.plugin.conftest import Project

TOY = "toy:gamma=2"
WRONG = f"--equivcheck-candidate={TOY},wrong=two"


def captured(project: Project) -> set[str]:
    return set(read_evidence(project.path / "reports/latest").captured[CANDIDATE])


def test_only_the_selected_cases_are_captured(project: Project) -> None:
    assert project.pytest("suites", "-k", "one or three").ret == 0
    assert captured(project) == {"code/one", "code/three"}


def test_a_gate_alone_captures_its_whole_file(project: Project) -> None:
    project.suite("chat", ["hello"])
    assert project.pytest("suites/code.jsonl::engaged").ret == 0
    assert captured(project) == {"code/one", "code/two", "code/three"}


def test_a_case_is_selected_by_its_node_id(project: Project) -> None:
    result = project.pytest("suites/code.jsonl::two", WRONG)
    result.assert_outcomes(failed=1)
    assert captured(project) == {"code/two"}


def test_a_case_that_the_engine_says_it_refuses_is_skipped(project: Project) -> None:
    banning = {"id": "banning", "prompt": "def f(", "sampling": {"banned_tokens": [7]}}
    path = project.path / "suites/code.jsonl"
    path.write_text(path.read_text() + json.dumps(banning) + "\n")
    result = project.pytest("suites", "-rs", f"--equivcheck-candidate={TOY},lacks=banned_tokens")
    assert result.ret == 0
    assert result.parseoutcomes() == {"passed": 10, "skipped": 2}
    result.stdout.fnmatch_lines(["*not asked: it needs banned_tokens, which toy refuses*"])
    result.stdout.fnmatch_lines(["*on 3 of 4 cases; 1 needs banned_tokens, which toy refuses*"])


def test_workloads_are_marks(project: Project) -> None:
    project.suite("json-sql", ["select"])
    result = project.pytest("suites", "-m", "json-sql", "--strict-markers", "-q")
    assert result.parseoutcomes()["deselected"] == 11
    assert captured(project) == {"json-sql/select"}


def test_a_mark_that_fits_nothing_does_not_pass(project: Project) -> None:
    assert project.pytest("suites", "-m", "cod").ret == pytest.ExitCode.NO_TESTS_COLLECTED
    assert not (project.path / "reports").exists()


def test_a_workload_named_skip_does_not_skip_itself(project: Project) -> None:
    project.suite("skip", ["one"])
    result = project.pytest("suites/skip.jsonl::one")
    result.assert_outcomes(passed=1)


def test_last_failed_runs_what_failed(project: Project) -> None:
    assert project.pytest("suites", WRONG).ret == 1
    result = project.pytest("suites", WRONG, "--lf")
    result.assert_outcomes(failed=2)
    assert captured(project) == {"code/two"}


def test_collecting_runs_nothing(project: Project) -> None:
    assert project.pytest("suites", "--collect-only", "-q").ret == 0
    assert not (project.path / "reports").exists()


def test_junit_has_the_line_the_message_and_the_figures(project: Project) -> None:
    project.pytest("suites", WRONG, "--junitxml=junit.xml", "-o", "junit_family=xunit1")
    assert str(project.path) not in (project.path / "junit.xml").read_text(encoding="utf-8")
    cases = ElementTree.parse(project.path / "junit.xml").getroot().iter("testcase")
    found = {case.get("name"): case for case in cases}
    assert (found["two"].get("file"), found["two"].get("line")) == ("suites/code.jsonl", "2")
    failure = found["two"].find("failure")
    assert failure is not None
    message = failure.get("message", "")
    assert message.startswith("candidate diverged from target at output token 3 of 12")
    assert "\n" not in message
    values = {each.get("name"): each.get("value", "") for each in found["two"].iter("property")}
    told = json.loads(values["equivcheck"])
    assert (told["outcome"], told["check"], told["subject"]) == ("fail", "greedy", "code/two")
    assert all(len(value) < 1000 for value in values.values())


def test_workers_share_one_capture(project: Project) -> None:
    project.suite("chat", ["hello", "two"])
    done = project.distributed("suites", f"--equivcheck-candidate={TOY},wrong=two,log=asked.log")
    assert done.returncode == 1
    assert "4 failed, 15 passed, 2 skipped" in done.stdout
    assert "\nNOT EQUIVALENT — speculative diverged from target on 2 of 5 prompts" in done.stdout
    assert "FAILED suites/code.jsonl::two - candidate diverged from target at" in done.stdout
    asked = (project.path / "asked.log").read_text().splitlines()
    # Twice to warm up, five for the verdict, two once more in another order, two with a new engine,
    # and company for the shuffled; two workers that both captured would make it twice as many.
    assert len(asked) == 14
    assert len(captured(project)) == 5


@pytest.fixture
def interrupted(project: Project, monkeypatch: pytest.MonkeyPatch) -> str:
    """Leave an unfinished run behind; the candidate it was made with."""
    candidate = f"{TOY},interrupt=two"
    monkeypatch.chdir(project.path)
    assert cli.run(["run", "--candidate", candidate]) == INTERRUPTED
    project.write("survive", "")
    return candidate


def test_an_interrupted_run_is_gone_on_with(project: Project, interrupted: str) -> None:
    result = project.pytest("suites", f"--equivcheck-candidate={interrupted}")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["note: an interrupted run was resumed"])


def test_another_interrupted_run_is_set_aside(project: Project, interrupted: str) -> None:
    result = project.pytest("suites")
    assert result.ret == 0
    (aside,) = (project.path / "reports").glob("latest-unfinished-*")
    assert read_evidence(aside).header.settings.candidate == interrupted
    result.stdout.fnmatch_lines([f"note: an unfinished run of something else is in *{aside.name}"])


@pytest.mark.parametrize(
    ("forgets", "words"), [("error", "RuntimeError: no memory"), ("exit", "SystemExit: 0")]
)
def test_an_unforeseen_error_shows_its_traceback_once(
    forgets: str, words: str, project: Project
) -> None:
    result = project.pytest("suites", f"--equivcheck-candidate={TOY},forgets={forgets}")
    result.assert_outcomes(errors=11)
    shown = result.stdout.str()
    assert shown.count("toy.py:") == 1
    assert shown.count(f"\n{words} (traceback above)\n") == 10
    assert f"NO VERDICT — {words}\n" in shown


@pytest.mark.parametrize("how", ["unopened=true", "leave=code"])
def test_an_engine_that_gives_nothing_makes_every_item_an_error(how: str, project: Project) -> None:
    result = project.pytest("suites", f"--equivcheck-candidate={TOY},{how}")
    result.assert_outcomes(errors=11)
    assert "toy.py:" not in result.stdout.str()


def test_two_files_may_not_define_the_same_case(project: Project) -> None:
    suite = project.path / "suites/code.jsonl"
    project.write("suites/copy.jsonl", suite.read_text())
    result = project.pytest("suites")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*two suites define the case 'code/one'*"])


def test_a_case_may_not_be_called_like_a_gate(project: Project) -> None:
    project.suite("code", ["one", "greedy"])
    result = project.pytest("suites")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["*code.jsonl:3: id: 'greedy' is the name of a gate*"])


def test_a_wrong_setting_stops_the_session(project: Project) -> None:
    result = project.pytest("suites", "--equivcheck-set", "setup.dtyp=float32")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["*setup.dtyp: unknown key (did you mean 'dtype'?)*"])


def test_options_reach_the_run(project: Project) -> None:
    project.pytest(
        "suites/code.jsonl::one",
        "--equivcheck-out=elsewhere",
        "--equivcheck-target=toy:gamma=0",
        "--equivcheck-set=seed=7",
        "--equivcheck-set=probe_every=2",
    )
    settings = read_evidence(project.path / "elsewhere").header.settings
    assert (settings.target, settings.seed, settings.probe_every) == ("toy:gamma=0", 7, 2)


@pytest.mark.parametrize(
    ("first_line", "expected"),
    [
        ('{"equivcheck": 1, "workload": "code"}', True),
        ('{ "equivcheck" : 1, broken', True),
        ('\ufeff{"equivcheck": 1}', True),
        ('{"workload": "code", "equivcheck": 1}', True),
        ('{"type": "header", "environment": {"equivcheck": "0.1"}}', False),
        ('{"workload": "code", "equivcheck": 1', False),
        ("[1, 2]", False),
        pytest.param('{"a": {"equivcheck": ' + "[" * 60_000, False, id="nested"),
        ("", False),
    ],
)
def test_suites_are_told_from_other_files(first_line: str, expected: bool, tmp_path: Path) -> None:
    path = tmp_path / "some.jsonl"
    path.write_text(f"{first_line}\n")
    assert is_suite(path) is expected


def test_an_unused_plugin_leaves_no_trace(tmp_path: Path) -> None:
    (tmp_path / "test_other.py").write_text(
        "import sys\n"
        "def test_nothing_is_loaded():\n"
        "    ours = {name for name in sys.modules if name.startswith('equivcheck')}\n"
        "    allowed = ('', '.pytest_plugin', '.plugin', '.plugin.sniffing')\n"
        "    assert ours <= {f'equivcheck{name}' for name in allowed}, ours\n"
        "    heavy = {'torch', 'numpy', 'scipy', 'msgspec', 'transformers', 'click', 'rich'}\n"
        "    assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    (tmp_path / "other.jsonl").write_text('{"some": "data"}\n')
    before = {path.name for path in tmp_path.iterdir()}
    plain = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:syrupy"]
    done = subprocess.run(
        [*plain, "test_other.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_PLUGINS": "equivcheck.pytest_plugin"},
    )
    assert done.returncode == 0, done.stdout
    assert "equivcheck" not in done.stdout
    assert {path.name for path in tmp_path.iterdir()} - {"__pycache__"} == before
