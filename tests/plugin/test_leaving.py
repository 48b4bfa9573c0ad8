"""Engines that take the process away, and sessions that end as they should all the same."""

from __future__ import annotations

import pytest

from equivcheck.records.records_file import read_evidence
from tests.plugin.conftest import SETTINGS, Project

TOY = "toy:gamma=2"
LEFT = "the process that ran the engines left with exit code 0 before a verdict; what was"
THREAD = (
    "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()"
)


@pytest.fixture(params=["one thread", "threads", "workers"])
def arguments(request: pytest.FixtureRequest, project: Project) -> list[str]:
    """How the session runs: its run is forked, or made by a fresh process."""
    if request.param == "threads":
        project.write("conftest.py", THREAD)
    return ["-n1"] if request.param == "workers" else []


def test_an_engine_that_leaves_with_0_is_an_error_of_every_item(
    project: Project, arguments: list[str]
) -> None:
    done = project.alone("suites", f"--equivcheck-candidate={TOY},vanish=two", *arguments)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout
    assert "11 errors" in done.stdout
    assert LEFT in done.stdout
    assert "EQUIVALENT" not in done.stdout
    assert "code/one" in read_evidence(project.path / "reports/latest").captured["candidate"]
    project.write("survive", "")
    again = project.alone("suites", f"--equivcheck-candidate={TOY},vanish=two", *arguments)
    assert again.returncode == 0, again.stdout
    assert "note: an interrupted run was resumed" in again.stdout


def test_an_engine_that_hangs_is_an_error_of_every_item(
    project: Project, arguments: list[str]
) -> None:
    project.settings(f"{SETTINGS}[clock]\nanswer_seconds = 2\ntoken_seconds = 0\n")
    done = project.alone("suites", f"--equivcheck-candidate={TOY},hang=two", *arguments)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout
    assert "11 errors" in done.stdout
    assert "the answer to code/two" in done.stdout
    assert "took more than 2 s (answer_seconds); it was at File" in done.stdout
    assert "EQUIVALENT" not in done.stdout
    project.write("survive", "")
    again = project.alone("suites", f"--equivcheck-candidate={TOY},hang=two", *arguments)
    assert again.returncode == 0, again.stdout
    assert "note: an interrupted run was resumed" in again.stdout


def test_other_tests_of_the_session_go_on(project: Project) -> None:
    project.write("suites/test_other.py", "def test_other():\n    pass\n")
    done = project.alone("suites", "-v", f"--equivcheck-candidate={TOY},kill=two")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "was ended by signal 9 (SIGKILL) before a verdict" in done.stdout
    assert "test_other.py::test_other PASSED" in done.stdout


def test_an_unforeseen_error_shows_its_traceback_once(project: Project) -> None:
    done = project.alone("suites", f"--equivcheck-candidate={TOY},forgets=error")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert done.stdout.count('toy.py", line') == 1
    assert done.stdout.count("\nRuntimeError: no memory (traceback above)\n") == 10
    assert "NO VERDICT — RuntimeError: no memory\n" in done.stdout


def test_ctrl_c_ends_the_session(project: Project) -> None:
    done = project.alone("suites", f"--equivcheck-candidate={TOY},interrupt=two")
    assert done.returncode == pytest.ExitCode.INTERRUPTED


def test_an_isolated_engine_that_leaves_costs_its_requests_alone(project: Project) -> None:
    done = project.alone("suites", f"--equivcheck-candidate=isolated:{TOY},vanish=two")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "its process left with exit code 0 while it answered code/two" in done.stdout
    assert "1 error" in done.stdout
    answered = read_evidence(project.path / "reports/latest").captured["candidate"]
    assert sorted(answered) == ["code/one", "code/three"]


def test_the_fixture_says_that_an_engine_has_left(project: Project) -> None:
    project.write(
        "test_mine.py",
        "import pytest\n"
        "from equivcheck import Case, EngineError\n"
        "def test_mine(equivcheck_run):\n"
        "    cases = [Case(id='two', prompt='def f(', max_new_tokens=12)]\n"
        "    with pytest.raises(EngineError, match='left with exit code 0 before a verdict'):\n"
        f"        equivcheck_run(cases, candidate='{TOY},vanish=two')\n"
        "    open('survive', 'w').close()\n"
        f"    found = equivcheck_run(cases, candidate='{TOY},vanish=two')\n"
        "    assert found.verdict.exit_code == 0\n",
    )
    done = project.alone("test_mine.py")
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


def test_a_measurement_whose_engine_leaves_is_none(project: Project) -> None:
    bench = ("bench", "suites/code.jsonl", "--tokens=4", "--no-stock")
    done = project.equivcheck(*bench, f"--candidate={TOY},vanish=two")
    assert done.returncode == 2
    assert "left with exit code 0 before a verdict; what was measured is kept" in done.stderr
    isolated = project.equivcheck(*bench, f"--candidate=isolated:{TOY},vanish=two", "--fresh")
    assert isolated.returncode == 2
    assert "its process left with exit code 0 while it answered code/two" in isolated.stderr
