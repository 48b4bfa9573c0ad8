"""`assert_equivalent` and the fixture, as other people's tests use them."""

from __future__ import annotations

from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from equivcheck import assert_equivalent
from equivcheck.core.cases import Case
from equivcheck.core.errors import EngineError, SuiteError
from equivcheck.core.settings import EngineSetup, Settings
from equivcheck.engines.registry import known_engines, lent
from equivcheck.pipeline.assertions import Inconclusive, NotEquivalent, as_suites
from tests.plugin.conftest import Project
from tests.plugin.toy import ToyEngine, ToyOptions, open_engine

CASES = [Case(id=name, prompt="def f(", max_new_tokens=12) for name in ("one", "two", "three")]
SETTINGS = Settings(control="toy")
TARGET, TOY = "toy", "toy:gamma=2"


def toy(**options: object) -> ToyEngine:
    return ToyEngine(ToyOptions(**options), EngineSetup())  # type: ignore[arg-type]


def test_equivalent_engines_pass(project: Project) -> None:
    found = assert_equivalent(TOY, TARGET, cases=CASES, settings=SETTINGS)
    assert found.verdict.exit_code == 0
    assert set(found.evidence.asked) == {"cases/one", "cases/two", "cases/three"}
    assert not found.folder.exists()


def test_a_divergence_raises_with_the_verdict_first(
    project: Project, snapshot: SnapshotAssertion
) -> None:
    with pytest.raises(NotEquivalent) as caught:
        assert_equivalent(
            f"{TOY},wrong=two",
            TARGET,
            cases=CASES,
            settings=SETTINGS,
            folder=project.path / "kept",
        )
    assert project.shown(str(caught.value)) == snapshot
    assert (project.path / "kept/records.jsonl").is_file()


def test_not_knowing_raises_too(project: Project) -> None:
    with pytest.raises(Inconclusive, match=r"^INCONCLUSIVE — .*announces 0 speculative tokens"):
        assert_equivalent("toy:gamma=0", TARGET, cases=CASES, settings=SETTINGS)


def test_suites_and_folders_are_cases_too(project: Project) -> None:
    found = assert_equivalent(TOY, TARGET, cases=project.path / "suites", settings=SETTINGS)
    assert set(found.evidence.asked) == {"code/one", "code/two", "code/three"}


def test_open_engines_are_taken_and_left_open(project: Project) -> None:
    closed: list[str] = []
    candidate, target = toy(gamma=2), toy()
    candidate.close = lambda: closed.append("candidate")  # type: ignore[method-assign]
    found = assert_equivalent(candidate, target, cases=CASES, settings=SETTINGS)
    assert found.verdict.exit_code == 0
    assert not closed


def test_open_engines_get_no_command_that_could_not_work(project: Project) -> None:
    with pytest.raises(NotEquivalent) as caught:
        assert_equivalent(toy(gamma=2, wrong="two"), toy(), cases=CASES, settings=SETTINGS)
    assert "equivcheck replay" not in str(caught.value)


def test_lent_engines_are_known_for_a_while_only() -> None:
    with lent({"borrowed": open_engine}):
        with pytest.raises(EngineError, match="'borrowed' is registered already"):
            lent({"borrowed": open_engine}).__enter__()
        assert "borrowed" not in known_engines()
    with lent({"borrowed": open_engine}):
        pass


@pytest.mark.parametrize(
    ("cases", "message"),
    [
        ([], "no cases were given"),
        ([CASES[0], CASES[0]], r"cases\[1\]: id: 'one' is already that of another case"),
    ],
)
def test_unusable_lists_of_cases_are_refused(cases: list[Case], message: str) -> None:
    with pytest.raises(SuiteError, match=message):
        as_suites(cases)


def test_the_fixture_runs_with_the_sessions_settings(project: Project) -> None:
    project.write(
        "test_mine.py",
        "def test_it(equivcheck_run):\n"
        "    found = equivcheck_run('suites')\n"
        "    assert found.verdict.headline.startswith('EQUIVALENT')\n"
        "    assert found.evidence.header.settings.candidate == 'toy:gamma=2'\n"
        "    worse = equivcheck_run('suites', candidate='toy:gamma=2,wrong=two')\n"
        "    assert worse.verdict.exit_code == 1\n",
    )
    project.pytest("test_mine.py").assert_outcomes(passed=1)
    assert not Path(project.path / "reports").exists()
