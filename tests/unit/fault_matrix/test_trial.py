"""How much it took to see a fault: counted over the cases made for it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from equivcheck.checks.verdict import Verdict
from equivcheck.core.findings import Finding, Outcome, Reason
from equivcheck.fault_matrix.job import jobs_of
from equivcheck.fault_matrix.openers import OPENER
from equivcheck.fault_matrix.rigs import budget_of
from equivcheck.fault_matrix.trial import (
    cases_of,
    detection,
    first_failure,
    further_budgets,
    run_to_the_end,
)
from equivcheck.faults.catalogue import find
from equivcheck.records.records import CANDIDATE, Evidence
from tests.unit.make import make_evidence, make_generation

KEYS = ("plain/00", "plain/01", f"endings/{OPENER}", "endings/00", "endings/01", "endings/02")


def evidence() -> Evidence:
    """Ten tokens each of two schedules, the second with an opener."""
    answers = [make_generation((5,) * 10, key=key) for key in KEYS]
    return make_evidence({CANDIDATE: answers})


def failure(subject: str, *, check: str = "stopping", n: int = 4) -> Finding:
    return Finding(
        check=check,
        subject=subject,
        outcome=Outcome.FAIL,
        reason=Reason.DIVERGED,
        headline="",
        n=n,
    )


def test_only_cases_made_for_it_count() -> None:
    told = evidence()
    made_for = cases_of(told, ("endings",))
    assert made_for == ["endings/00", "endings/01", "endings/02"]
    found = first_failure(
        made_for,
        [failure("plain/00"), failure("endings/02"), failure("endings/01")],
        check="stopping",
    )
    assert found is not None
    assert found.subject == "endings/01"
    assert detection(told, made_for, found) == (2, 14)


def test_a_failure_elsewhere_is_shown_and_not_counted() -> None:
    told = evidence()
    made_for = cases_of(told, ("endings",))
    found = first_failure(made_for, [failure("plain/01")], check="stopping")
    assert found is not None
    assert found.subject == "plain/01"
    assert detection(told, made_for, found) == (None, None)
    assert first_failure(made_for, [failure("endings/00")], check="greedy") is None


def test_of_a_distribution_the_draws_count() -> None:
    told = evidence()
    found = failure("run", check="sampled", n=2919)
    assert detection(told, cases_of(told, ("plain",)), found) == (None, 2919)


@pytest.mark.parametrize(
    ("name", "quick", "budget", "further"),
    [
        ("accepts-every-draft", True, 12_000, 1),
        ("leak-5", True, 12_000, 4),
        ("leak-1", False, 75_000, 7),
        ("sound-rejection", False, 12_000, 1),
        ("sound-rejection", True, 12_000, 0),
        ("no-trim", False, 12_000, 0),
    ],
)
def test_draws_come_in_budgets(name: str, *, quick: bool, budget: int, further: int) -> None:
    (job,) = jobs_of([find(name)], quick=quick, seeds=1)
    assert budget_of(find(name)) == budget
    assert further_budgets(job) == further


@pytest.mark.parametrize(("refuted_at", "budgets"), [(1, 1), (3, 3), (9, 5)])
def test_drawing_ends_when_the_distribution_is_refuted(
    refuted_at: int, budgets: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five budgets are 60,000 draws, all that `leak-5` is given."""
    asked: list[dict[str, bool]] = []

    def drawn(*args: object, **options: bool) -> Verdict:
        asked.append(options)
        said = Outcome.FAIL if len(asked) >= refuted_at else Outcome.INCONCLUSIVE
        finding = msgspec.structs.replace(failure("run", check="sampled"), outcome=said)
        return Verdict(outcome=said, headline="", findings=(finding,))

    monkeypatch.setattr("equivcheck.fault_matrix.trial.run", drawn)
    (job,) = jobs_of([find("leak-5")], quick=False, seeds=1)
    verdict = run_to_the_end(job, job.rig.settings, tmp_path)
    assert (verdict.outcome is Outcome.FAIL) == (refuted_at <= 5)
    assert asked == [{}, *[{"resume": True, "more": True}] * (budgets - 1)]
