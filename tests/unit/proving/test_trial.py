"""How much it took to see a fault: counted over the cases made for it."""

from __future__ import annotations

from equivcheck.findings import Finding, Outcome, Reason
from equivcheck.proving.openers import OPENER
from equivcheck.proving.trial import cases_of, detection, first_failure
from equivcheck.records import CANDIDATE, Evidence
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


def test_of_a_law_the_draws_count() -> None:
    told = evidence()
    found = failure("run", check="sampled", n=2919)
    assert detection(told, cases_of(told, ("plain",)), found) == (None, 2919)
