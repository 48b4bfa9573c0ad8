from __future__ import annotations

from equivcheck.checks.complete import check
from equivcheck.core.findings import Outcome, Reason
from equivcheck.core.generation import Generation
from equivcheck.records.records import CANDIDATE, TARGET
from tests.unit.make import make_evidence, make_generation

KEYS = [f"code/c{index}" for index in range(8)]


def answers(count: int) -> list[Generation]:
    return [make_generation(key=key) for key in KEYS[:count]]


def test_all_in() -> None:
    (finding,) = check(make_evidence({TARGET: answers(8), CANDIDATE: answers(8)}))
    assert finding.outcome is Outcome.PASS
    assert finding.headline == "all 16 answers of 2 arms are in"


def test_an_unfinished_arm_is_never_a_pass() -> None:
    evidence = make_evidence(
        {TARGET: answers(8), CANDIDATE: answers(1)},
        planned={TARGET: KEYS, CANDIDATE: KEYS},
    )
    (finding,) = check(evidence)
    assert (finding.outcome, finding.reason) == (Outcome.INCONCLUSIVE, Reason.MISSING)
    assert finding.headline == "candidate answered 1 of 8 cases"
    assert finding.details == ("missing: code/c1, code/c2, code/c3, code/c4, code/c5 and 2 more",)


def test_a_planned_arm_that_never_ran_is_missing() -> None:
    evidence = make_evidence(
        {TARGET: answers(1), CANDIDATE: answers(1)},
        planned={TARGET: KEYS[:1], CANDIDATE: KEYS[:1], "repeat": KEYS[:1]},
    )
    assert [finding.headline for finding in check(evidence)] == ["repeat answered 0 of 1 case"]


def test_nothing_compared() -> None:
    halves: list[dict[str, list[Generation]]] = [{}, {TARGET: answers(2)}]
    for given in halves:
        (finding,) = check(make_evidence(given))
        assert (finding.outcome, finding.reason) == (
            Outcome.INCONCLUSIVE,
            Reason.NOTHING_COMPARED,
        )
