"""The determinism and batching gates: the candidate held against itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from equivcheck.checks import batching, determinism
from equivcheck.core.findings import Finding, Outcome, Reason
from equivcheck.core.generation import Generation
from equivcheck.core.settings import EngineSetup, Settings
from equivcheck.records.asking_order import mixed_up
from equivcheck.records.records import (
    CANDIDATE,
    CONTROL,
    REPEAT,
    SHUFFLED,
    TARGET,
    Evidence,
)
from tests.unit.make import (
    make_arbitration,
    make_capabilities,
    make_evidence,
    make_generation,
    make_steps,
)

SCORES = [(-0.1, 5, -3.0)] * 4
SAME: dict[str, Any] = {"scores": SCORES, "logit_digests": (1, 2, 3, 4)}
OTHER_LOGITS = SAME | {"logit_digests": (1, 2, 9, 4)}
OTHER_SCORES = SAME | {"scores": [*SCORES[:3], (-0.1, 5, -3.0000001)]}


def answer(tokens: Sequence[int] = (10, 11, 12, 13), *, key: str = "code/a", **fields: Any) -> Any:
    return make_generation(tokens, key=key, **fields)


def make_run(
    arm: str, once: Generation, again: Generation, *, contract: str | None = "fixed-shape"
) -> Evidence:
    arms = {name: make_capabilities(identity=contract) for name in (TARGET, CANDIDATE, arm)}
    return make_evidence({TARGET: [once], CANDIDATE: [once], arm: [again]}, arms=arms)


CHANGES = {
    "tokens": (answer((10, 11, 77, 13)), "tokens part at output token 2 of 4"),
    "finish": (
        answer(finish_reason="stop"),
        "candidate ended with 'length' after 4 tokens, {arm} with 'stop' after 4",
    ),
    "logits": (
        answer(**OTHER_LOGITS),
        "logits differ in their bits at output token 2 (sequence position 5), first",
    ),
    "scores": (
        answer(**OTHER_SCORES),
        "scores differ in their bits at output token 3 (sequence position 6), first",
    ),
}


@pytest.mark.parametrize(("again", "what"), CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("arm", [REPEAT, SHUFFLED])
def test_under_a_contract_every_bit_counts(again: Generation, what: str, arm: str) -> None:
    check, reason = {
        REPEAT: (determinism.check, Reason.NONDETERMINISTIC),
        SHUFFLED: (batching.check, Reason.BATCH_DEPENDENT),
    }[arm]
    case, summary = check(make_run(arm, answer(**SAME), again))
    assert (case.subject, case.outcome, case.reason) == ("code/a", Outcome.FAIL, reason)
    assert what.format(arm=arm) in case.headline
    assert (summary.subject, summary.outcome) == ("code", Outcome.FAIL)


def test_batching_says_in_which_rows_and_beside_whom() -> None:
    told = make_capabilities(engine="native:gamma=4", identity="fixed-shape", batch_size=2)
    keys = ("code/a", "code/b", "code/c")
    first, second, third = mixed_up(keys, (), seed=0, company=1)
    once = {key: answer(key=key, steps=make_steps((3, 3))) for key in keys}
    again = once | {second: answer((10, 11, 77, 13), key=second, steps=make_steps((3, 3)))}
    evidence = make_evidence(
        {
            TARGET: [*once.values()],
            CANDIDATE: [*once.values()],
            SHUFFLED: [again[key] for key in (first, second, third)],
        },
        arms=dict.fromkeys((TARGET, CANDIDATE, SHUFFLED), told),
        settings=Settings(setup=EngineSetup(batch_size=2), seed=0),
    )
    case, _ = batching.check(evidence)
    place = keys.index(second)
    at_first = ("row 0 of 2, beside code/b", "row 1 of 2, beside code/a", "row 0 of 2, alone")
    assert case.subject == second
    assert case.details == (
        f"at first in {at_first[place]}",
        f"then in row 1 of 2, beside {first}",
    )


def test_the_same_answer_passes() -> None:
    for arm, check in ((REPEAT, determinism.check), (SHUFFLED, batching.check)):
        (summary,) = check(make_run(arm, answer(**SAME), answer(**SAME)))
        assert (summary.outcome, summary.reason, summary.n) == (Outcome.PASS, Reason.HELD, 1)
        assert check(make_run("other", answer(), answer())) == []


def test_without_a_contract_low_bits_are_remarked_and_tokens_still_count() -> None:
    run = make_run(REPEAT, answer(**SAME), answer(**OTHER_SCORES), contract=None)
    (summary,) = determinism.check(run)
    assert summary.outcome is Outcome.PASS
    assert summary.headline == (
        "1 of 1 case answered the same twice (1 with other low bits in the scores)"
    )
    run = make_run(REPEAT, answer(), answer((10, 11, 77, 13)), contract=None)
    assert [finding.outcome for finding in determinism.check(run)] == [Outcome.FAIL] * 2


def shuffled_run(
    *, cases: int, parted: Sequence[int], control_parted: Sequence[int] | None, explained: bool
) -> Evidence:
    def answers(others: Sequence[int]) -> list[Generation]:
        return [
            answer((10, 11, 77, 13) if i in others else (10, 11, 12, 13), key=f"code/c{i}")
            for i in range(cases)
        ]

    given = {TARGET: answers([]), CANDIDATE: answers([]), SHUFFLED: answers(parted)}
    if control_parted is not None:
        given[CONTROL] = answers(control_parted)
    tie = make_arbitration(key="", arm=SHUFFLED, reference="fp32")
    return make_evidence(
        given,
        settings=Settings(setup=EngineSetup(dtype="bfloat16")),
        arbitrations=[msgspec.structs.replace(tie, key=f"code/c{i}") for i in parted]
        if explained
        else [],
    )


def verdict_of(**fields: Any) -> Finding:
    (finding,) = batching.check(shuffled_run(**fields))
    assert finding.subject == "run"
    return finding


def test_without_a_contract_no_difference_is_best() -> None:
    finding = verdict_of(cases=3, parted=[], control_parted=None, explained=False)
    assert (finding.outcome, finding.reason) == (Outcome.PASS, Reason.HELD)


def test_proven_near_ties_within_the_rate_pass() -> None:
    finding = verdict_of(cases=5, parted=[1], control_parted=[2], explained=True)
    assert (finding.outcome, finding.reason) == (Outcome.PASS, Reason.NUMERICS)
    assert finding.headline == (
        "4 of 5 cases the same with other neighbours: the others are near ties "
        "(control parts on 1 of 5, p = 0.75)"
    )


def test_unexplained_differences_are_inconclusive() -> None:
    finding = verdict_of(cases=5, parted=[1], control_parted=[1], explained=False)
    assert (finding.outcome, finding.reason) == (Outcome.INCONCLUSIVE, Reason.NO_ARBITRATION)


def test_near_ties_without_a_control_are_inconclusive() -> None:
    finding = verdict_of(cases=5, parted=[1], control_parted=None, explained=True)
    assert (finding.outcome, finding.reason) == (Outcome.INCONCLUSIVE, Reason.NOT_COMPARABLE)


def test_differing_more_often_than_the_control_fails() -> None:
    for explained in (True, False):
        finding = verdict_of(cases=12, parted=range(11), control_parted=[], explained=explained)
        assert (finding.outcome, finding.reason) == (Outcome.FAIL, Reason.BATCH_DEPENDENT)


def test_without_a_contract_the_first_cases_that_part_are_told_with_their_company() -> None:
    run = shuffled_run(cases=12, parted=range(12), control_parted=[], explained=False)
    (finding,) = batching.check(run)
    assert finding.details[0] == "code/c0: tokens part at output token 2 of 4 (sequence position 5)"
    assert finding.details[-1] == "and 7 cases more"
