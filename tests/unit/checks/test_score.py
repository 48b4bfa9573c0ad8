"""Grades are held to each other: one by one where tokens are claimed, as shares where drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from equivcheck.checks.paired import Shares, interval_of
from equivcheck.checks.score import check
from equivcheck.core.cases import Sampling
from equivcheck.core.findings import Finding, Outcome, Reason
from equivcheck.core.settings import Settings
from equivcheck.records.records import CANDIDATE, CONTROL, TARGET, Evidence, Grade, GradeResult
from tests.unit.make import make_capabilities, make_evidence, make_generation, make_request
from tests.unit.report.test_report import make_run

SAME, OTHER = (10, 11, 12, 13), (10, 11, 77, 78)


def grades(results: Mapping[str, tuple[GradeResult, GradeResult]]) -> tuple[Grade, ...]:
    """Key to the grades of target and candidate."""
    return tuple(
        Grade(key=key, arm=arm, grader="exact", result=result, why=f"{arm} \x1b[31m says so")
        for key, pair in results.items()
        for arm, result in zip((TARGET, CANDIDATE), pair, strict=True)
    )


def run(
    results: Mapping[str, tuple[GradeResult, GradeResult]],
    *,
    parted: Sequence[str] = (),
    sampled: bool = False,
    contract: str | None = "fixed",
    rule: str = "coupled",
    settings: Settings | None = None,
) -> Evidence:
    keys = [*results]
    sampling = Sampling(temperature=1.0) if sampled else Sampling()
    engine: Any = {"identity": contract, "rule": rule}
    evidence = make_evidence(
        {
            TARGET: [make_generation(SAME, key=key) for key in keys],
            CANDIDATE: [make_generation(OTHER if key in parted else SAME, key=key) for key in keys],
            CONTROL: [make_generation(SAME, key=key) for key in keys],
        },
        requests=[make_request(key, sampling=sampling) for key in keys],
        arms=dict.fromkeys((TARGET, CANDIDATE, CONTROL), make_capabilities(**engine)),
        settings=settings,
    )
    return msgspec.structs.replace(evidence, grades=grades(results))


def by_subject(evidence: Evidence) -> dict[str, Finding]:
    return {finding.subject: finding for finding in check(evidence)}


def test_nothing_graded_is_nothing_said() -> None:
    assert check(run({})) == []
    assert check(msgspec.structs.replace(run({"code/a": ("right", "right")}), grades=())) == []
    assert check(run({"code/a": ("off", "off")})) == []


def test_equal_grades_hold_whether_right_or_wrong() -> None:
    found = by_subject(run({"code/a": ("right", "right"), "code/b": ("wrong", "wrong")}))
    assert found.keys() == {"code"}
    assert (found["code"].outcome, found["code"].reason) == (Outcome.PASS, Reason.HELD)
    assert found["code"].headline == "graded the same on 2 of 2 cases (target right on 1)"


@pytest.mark.parametrize("pair", [("right", "wrong"), ("wrong", "right")])
def test_another_grade_fails_in_either_direction(pair: tuple[GradeResult, GradeResult]) -> None:
    found = by_subject(run({"code/a": pair, "code/b": ("right", "right")}, parted=["code/a"]))
    assert found["code/a"].outcome is found["code"].outcome is Outcome.FAIL
    assert found["code/a"].reason is found["code"].reason is Reason.SCORE_DIFFERS
    assert found["code/a"].headline == f"candidate is {pair[1]} where target is {pair[0]}"
    assert found["code/a"].details[0] == "target: target \\x1b[31m says so"
    assert found["code/a"].repeat == "equivcheck replay run-1 code/a"
    assert found["code"].headline.startswith("graded the same on 1 of 2 cases")


def test_a_grader_that_contradicts_itself_is_no_evidence() -> None:
    found = by_subject(run({"code/a": ("right", "wrong")}))
    assert (found["code/a"].outcome, found["code/a"].reason) == (
        Outcome.INCONCLUSIVE,
        Reason.NOT_GRADED,
    )
    assert found["code"].outcome is Outcome.INCONCLUSIVE


def test_a_difference_that_nobody_arbitrated_is_not_known_to_be_one() -> None:
    found = by_subject(run({"code/a": ("right", "wrong")}, parted=["code/a"], contract=None))
    assert found["code/a"].outcome is found["code"].outcome is Outcome.INCONCLUSIVE
    assert found["code/a"].reason is Reason.NO_ARBITRATION


def test_a_near_tie_that_is_excused_excuses_its_grade() -> None:
    evidence = make_run(parted=["code/c1"], contract=None)
    told = grades({"code/c0": ("right", "right"), "code/c1": ("right", "wrong")})
    found = by_subject(msgspec.structs.replace(evidence, grades=told))
    assert (found["code/c1"].outcome, found["code/c1"].reason) == (Outcome.PASS, Reason.NUMERICS)
    assert found["code"].outcome is Outcome.PASS
    assert found["code"].headline == (
        "graded the same on 1 of 2 cases (target right on 2), 1 difference after a near tie"
    )


def test_what_cannot_be_graded_is_inconclusive_once_a_workload() -> None:
    found = check(run({"code/a": ("broken", "broken"), "chat/b": ("right", "right")}))
    broken = next(finding for finding in found if finding.subject == "code")
    assert (broken.outcome, broken.reason, broken.n) == (
        Outcome.INCONCLUSIVE,
        Reason.NOT_GRADED,
        1,
    )
    assert broken.details[0] == "code/a: target \\x1b[31m says so"


def drawn(losses: int, wins: int, ties: int, **more: Any) -> Evidence:
    pairs = [("right", "wrong")] * losses + [("wrong", "right")] * wins
    pairs += [("right", "right")] * ties
    keys = [f"chat/c{number}" for number in range(len(pairs))]
    results: Any = dict(zip(keys, pairs, strict=True))
    return run(results, sampled=True, parted=keys, contract=None, rule="rejection", **more)


def test_sampled_answers_are_held_as_shares() -> None:
    (finding,) = check(drawn(losses=2, wins=1, ties=5))
    assert (finding.subject, finding.outcome, finding.n) == ("run", Outcome.PASS, 8)
    assert finding.estimate == pytest.approx(-1 / 8)
    assert finding.interval is not None
    assert finding.interval.low < -1 / 8 < finding.interval.high
    assert finding.headline.startswith("sampled answers: candidate right on 6 of 8 prompts, ")
    assert "target on 7, difference -0.12 [" in finding.headline


def test_a_proved_loss_fails_and_luck_does_not() -> None:
    assert [check(drawn(losses=9, wins=0, ties=3))[0].outcome] == [Outcome.PASS]
    (finding,) = check(drawn(losses=10, wins=0, ties=3))
    assert (finding.outcome, finding.reason) == (Outcome.FAIL, Reason.SCORE_DIFFERS)
    assert "p = 0.00098, fails at 0.001" in finding.headline
    assert check(drawn(losses=0, wins=30, ties=0))[0].outcome is Outcome.PASS


def test_a_margin_has_to_be_excluded() -> None:
    strict = Settings(score_margin=0.05)
    (finding,) = check(drawn(losses=0, wins=0, ties=8, settings=strict))
    assert (finding.outcome, finding.reason) == (Outcome.INCONCLUSIVE, Reason.UNDERPOWERED)
    assert finding.limit == -0.05
    (finding,) = check(drawn(losses=0, wins=0, ties=120, settings=strict))
    assert finding.outcome is Outcome.PASS


def test_sampled_answers_that_share_noise_are_held_to_each_other_one_by_one() -> None:
    evidence = run({"chat/a": ("right", "wrong")}, sampled=True, parted=["chat/a"])
    assert by_subject(evidence)["chat/a"].outcome is Outcome.FAIL


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 40))
def test_an_interval_holds_its_estimate_and_mirrors(ours: int, theirs: int, ties: int) -> None:
    prompts = ours + theirs + ties
    if not prompts:
        return
    shares = Shares(prompts=prompts, candidate_only=ours, target_only=theirs)
    low, high = interval_of(shares)
    assert -1 <= low < high <= 1
    assert low <= shares.difference <= high
    mirrored = interval_of(Shares(prompts=prompts, candidate_only=theirs, target_only=ours))
    assert mirrored == pytest.approx((-high, -low))


def test_the_interval_covers_what_it_says() -> None:
    """Exactly, over every outcome of 12 prompts of which 10 % are lost and 20 % won."""
    from math import comb

    prompts, lost, won = 12, 0.1, 0.2
    covered = 0.0
    for ours in range(prompts + 1):
        for theirs in range(prompts + 1 - ours):
            ties = prompts - ours - theirs
            ways = comb(prompts, ours) * comb(prompts - ours, theirs)
            chance = ways * won**ours * lost**theirs * (1 - won - lost) ** ties
            shares = Shares(prompts=prompts, candidate_only=ours, target_only=theirs)
            low, high = interval_of(shares)
            covered += chance * (low <= won - lost <= high)
    assert covered >= 0.95
