"""The gate `replicas`: which server of several is named, and when none is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from equivcheck.checks import replicas
from equivcheck.core.engine import UNTOLD
from equivcheck.core.findings import Outcome, Reason
from equivcheck.records.records import CANDIDATE, TARGET, Evidence
from tests.unit.checks.test_servers import CASES, answers, arbitration
from tests.unit.make import make_capabilities, make_evidence

ARMS = ("replica-1", "replica-2")


def make_run(
    *parted: Sequence[int], dtype: str = "float32", apart: float | None = None
) -> Evidence:
    """Each replica's parted cases; `apart` nats in an independent pass, where there was one."""
    given: dict[str, Any] = {TARGET: answers(), CANDIDATE: answers()}
    given |= {arm: answers(cases) for arm, cases in zip(ARMS, parted, strict=True)}
    told = make_capabilities(dtype=dtype, steady_company=False, rule="coupled")
    return make_evidence(
        given,
        arms=dict.fromkeys(given, told),
        arbitrations=[
            arbitration(f"code/c{case}", arm=arm, apart=apart)
            for arm, cases in zip(ARMS, parted, strict=True)
            for case in cases
            if apart is not None
        ],
    )


def test_replicas_that_answer_as_the_target_pass() -> None:
    (found,) = replicas.check(make_run((), ()))
    assert (found.outcome, found.reason) == (Outcome.PASS, Reason.IDENTICAL)
    assert found.n == 2 * CASES


def test_one_proven_divergence_names_a_replica() -> None:
    (found,) = replicas.check(make_run((), (4,), apart=0.2))
    assert (found.outcome, found.reason) == (Outcome.FAIL, Reason.REPLICA_DIFFERS)
    assert found.headline == (
        "replica-2 parts from target on 1 of 14 cases, replica-1 on 0 of 14 cases"
    )
    assert found.details[1] == "known after 5 cases on each replica; first code/c4"


def test_near_ties_name_nobody() -> None:
    (found,) = replicas.check(make_run((), (4, 5), apart=1e-6))
    assert (found.outcome, found.reason) == (Outcome.PASS, Reason.NUMERICS)


def test_a_fault_of_both_names_both() -> None:
    found = replicas.check(make_run((3,), (3,), apart=0.2))
    assert [each.outcome for each in found] == [Outcome.FAIL] * 2


def test_without_a_yardstick_one_that_parts_more_often_is_named_and_not_accused() -> None:
    (found,) = replicas.check(make_run((), tuple(range(CASES)), dtype=UNTOLD))
    assert (found.outcome, found.reason) == (Outcome.INCONCLUSIVE, Reason.REPLICA_DIFFERS)
    assert found.headline.startswith("replica-2 parts from target on 14 of 14 cases")
    # 2^-11 is the first power below 1e-3 / 2.
    assert found.details[1] == "known after 11 cases on each replica; first code/c0"


@pytest.mark.parametrize("parted", [((0, 1, 2), (0, 1, 2)), ((0, 1, 2), (3, 4, 5))])
def test_replicas_that_part_alike_are_not_told_apart(parted: tuple[Sequence[int], ...]) -> None:
    (found,) = replicas.check(make_run(*parted, dtype=UNTOLD))
    assert (found.outcome, found.reason) == (Outcome.INCONCLUSIVE, Reason.NO_ARBITRATION)
    assert "6 parted for a reason not known" in found.headline


def test_where_there_are_no_replicas_nothing_is_said() -> None:
    assert replicas.check(make_evidence({TARGET: answers(), CANDIDATE: answers()})) == []
