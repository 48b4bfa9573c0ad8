"""Engines that do not say in which numbers they compute, or in whose company they decode."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from equivcheck.checks import batching, determinism, greedy
from equivcheck.core.engine import UNTOLD, Capabilities
from equivcheck.core.findings import Outcome, Reason
from equivcheck.core.generation import Generation
from equivcheck.core.settings import EngineSetup, Settings
from equivcheck.records.records import (
    CANDIDATE,
    CONTROL,
    REPEAT,
    SHUFFLED,
    TARGET,
    Arbitration,
    Evidence,
)
from tests.unit.make import (
    make_arbitration,
    make_capabilities,
    make_evidence,
    make_gaps,
    make_generation,
)

SAME, OTHER = (10, 11, 12, 13), (10, 11, 77, 78)
CASES = 14


def answers(parted: Sequence[int] = (), **more: Any) -> list[Generation]:
    return [
        make_generation(OTHER if index in parted else SAME, key=f"code/c{index}", **more)
        for index in range(CASES)
    ]


def arbitration(key: str, *, arm: str, apart: float) -> Arbitration:
    return make_arbitration(
        key=key,
        arm=arm,
        reference="transformers float32",
        arm_logprob=-0.7 - apart,
        arm_gaps=make_gaps(0, 0, apart, 0),
    )


def make_run(
    *,
    dtype: str = "float32",
    parted: Sequence[int] = (),
    arm: str = CANDIDATE,
    apart: float = 0.2,
    steady: bool = True,
    settings: Settings | None = None,
) -> Evidence:
    told = make_capabilities(dtype=dtype, steady_company=steady, rule="coupled")
    arms: dict[str, Capabilities] = dict.fromkeys((TARGET, CANDIDATE, CONTROL, arm), told)
    given = {TARGET: answers(), CANDIDATE: answers(), CONTROL: answers()}
    return make_evidence(
        given | {arm: answers(parted)},
        arms=arms,
        settings=settings,
        arbitrations=[arbitration(f"code/c{i}", arm=arm, apart=apart) for i in parted],
    )


@pytest.mark.parametrize(
    ("dtype", "outcome"), [("float32", Outcome.FAIL), (UNTOLD, Outcome.INCONCLUSIVE)]
)
def test_without_a_dtype_a_token_is_no_proof(dtype: str, outcome: Outcome) -> None:
    found = {each.subject: each for each in greedy.check(make_run(dtype=dtype, parted=[1]))}
    assert found["code/c1"].outcome is outcome
    assert found["code"].outcome is outcome


def test_the_finding_says_so() -> None:
    findings = greedy.check(make_run(dtype=UNTOLD, parted=[1]))
    assert findings[1].reason is Reason.NO_ARBITRATION
    assert (
        "candidate does not say in which dtype it computes; the reference puts"
        in (findings[1].details[-1])
    )


def test_a_target_without_a_dtype_is_no_yardstick_either() -> None:
    evidence = make_run(parted=[1])
    arms = evidence.header.arms | {TARGET: make_capabilities(dtype=UNTOLD)}
    header = msgspec.structs.replace(evidence.header, arms=arms)
    findings = greedy.check(msgspec.structs.replace(evidence, header=header))
    assert findings[1].outcome is Outcome.INCONCLUSIVE


def test_ending_otherwise_is_a_fault_in_any_arithmetic() -> None:
    evidence = make_run(dtype=UNTOLD)
    early = answers(finish_reason="stop")
    other = make_evidence(
        {TARGET: answers(), CANDIDATE: early, CONTROL: answers()}, arms=evidence.header.arms
    )
    assert greedy.check(other)[0].outcome is Outcome.FAIL


@pytest.mark.parametrize(
    ("dtype", "outcome"), [("bfloat16", Outcome.FAIL), (UNTOLD, Outcome.INCONCLUSIVE)]
)
def test_more_of_them_than_the_control_has_are_no_proof_without_a_dtype(
    dtype: str, outcome: Outcome
) -> None:
    evidence = make_run(
        dtype=dtype,
        parted=range(12),
        apart=0.05,
        settings=Settings(setup=EngineSetup(dtype="bfloat16")),
    )
    over = greedy.check(evidence)[-1]
    assert (over.subject, over.reason) == ("run", Reason.NUMERICS_OVER_BUDGET)
    assert over.outcome is outcome


@pytest.mark.parametrize(
    ("dtype", "outcome"), [("float32", Outcome.FAIL), (UNTOLD, Outcome.INCONCLUSIVE)]
)
def test_other_neighbours_are_no_proof_without_a_dtype(dtype: str, outcome: Outcome) -> None:
    (finding,) = batching.check(make_run(dtype=dtype, arm=SHUFFLED, parted=range(12)))
    assert (finding.outcome, finding.reason) == (outcome, Reason.BATCH_DEPENDENT)


def test_in_company_by_chance_another_answer_is_no_failure() -> None:
    findings = determinism.check(make_run(arm=REPEAT, parted=[1], steady=False))
    assert [each.outcome for each in findings] == [Outcome.INCONCLUSIVE] * 2
    assert "in a batch that timing decides, candidate answered differently" in findings[0].headline
    steady = determinism.check(make_run(arm=REPEAT, parted=[1]))
    assert [each.outcome for each in steady] == [Outcome.FAIL] * 2


def test_in_company_by_chance_a_near_tie_is_excused() -> None:
    (summary,) = determinism.check(make_run(arm=REPEAT, parted=[1], apart=1e-6, steady=False))
    assert summary.outcome is Outcome.PASS
    assert summary.headline == (
        "13 of 14 cases answered the same twice, 1 but for a near tie in other company"
    )
