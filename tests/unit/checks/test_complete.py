from __future__ import annotations

from equivcheck.checks.complete import check
from equivcheck.checks.verdict import judge
from equivcheck.core.findings import Outcome, Reason
from equivcheck.core.generation import Generation
from equivcheck.records.records import CANDIDATE, TARGET, LeftOut
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


def test_cases_that_were_left_out_are_named_and_forbid_nothing() -> None:
    left_out = (
        LeftOut(key="code/d0", engine="vllm", needs=("min_p",)),
        LeftOut(key="code/d1", engine="vllm", needs=("logit_bias", "min_p")),
        LeftOut(key="code/d2", engine="vllm", needs=("min_p",)),
        LeftOut(key="code/\x1b[2J", engine="other", needs=("stop",)),
    )
    evidence = make_evidence({TARGET: answers(8), CANDIDATE: answers(8)}, left_out=left_out)
    all_in, told = check(evidence)
    assert all_in.headline == "all 16 answers of 2 arms are in"
    assert (told.outcome, told.reason) == (Outcome.PASS, Reason.LEFT_OUT)
    rests = (
        "on 8 of 12 cases; 3 need min_p or logit_bias, which vllm refuses; "
        "1 needs stop, which other refuses"
    )
    assert told.headline == f"the verdict rests {rests}"
    assert told.details == (
        "min_p (vllm): code/d0, code/d2",
        "logit_bias and min_p (vllm): code/d1",
        "stop (other): code/\\x1b[2J",
    )
    assert judge(evidence).headline.endswith(rests)
