from __future__ import annotations

import msgspec
import pytest

from equivcheck.checks import CHECKS
from equivcheck.checks.verdict import judge
from equivcheck.core.engine import Capabilities
from equivcheck.core.findings import Outcome
from equivcheck.core.generation import Generation
from equivcheck.records.records import CANDIDATE, TARGET, Evidence, SuiteRef, VerdictRecord
from tests.unit.make import EOS, make_capabilities, make_evidence, make_generation, make_steps

STEPS = make_steps((2, 2), (2, 0))
SAME = (10, 11, 12, 13)


def answers(count: int, tokens: tuple[int, ...] = SAME) -> list[Generation]:
    return [make_generation(tokens, key=f"code/c{i}", steps=STEPS) for i in range(count)]


def arms(gamma: int = 2, contract: str | None = "fixed-shape") -> dict[str, Capabilities]:
    plain = make_capabilities(identity=contract)
    return {
        TARGET: plain,
        CANDIDATE: msgspec.structs.replace(plain, num_speculative_tokens=gamma),
    }


def plain(given: list[Generation]) -> list[Generation]:
    return [msgspec.structs.replace(answer, steps=()) for answer in given]


def make_run(candidate: list[Generation], *, target: list[Generation] | None = None) -> Evidence:
    return make_evidence(
        {TARGET: plain(target or answers(len(candidate))), CANDIDATE: candidate}, arms=arms()
    )


def test_equivalent() -> None:
    verdict = judge(make_run(answers(3)))
    assert verdict.outcome is Outcome.PASS
    assert verdict.exit_code == 0
    assert verdict.headline == (
        "EQUIVALENT — speculative matched target token for token on 3 of 3 prompts (12 tokens)"
    )
    assert verdict.sealed() == VerdictRecord(
        outcome=Outcome.PASS, headline=verdict.headline, counts=verdict.counts
    )
    assert verdict.counts == {"pass": len(verdict.findings), "inconclusive": 0, "fail": 0}


def test_not_equivalent() -> None:
    verdict = judge(make_run([*answers(3)[:2], make_generation((9, *SAME[1:]), key="code/c2")]))
    assert (verdict.outcome, verdict.exit_code) == (Outcome.FAIL, 1)
    assert verdict.headline == "NOT EQUIVALENT — speculative diverged from target on 1 of 3 prompts"


def test_failed_though_the_tokens_match() -> None:
    wrong = answers(2, (10, EOS, 12, 13))
    verdict = judge(make_run(wrong, target=wrong))
    assert verdict.exit_code == 1
    assert verdict.headline == (
        "NOT EQUIVALENT — speculative matched target token for token on 2 of 2 prompts "
        "(8 tokens), but failed: stopping"
    )


def test_failed_with_nothing_compared() -> None:
    evidence = make_evidence({CANDIDATE: answers(1, (10, EOS, 12, 13))}, arms=arms())
    assert judge(evidence).headline == "NOT EQUIVALENT — failed: stopping"


def test_unfinished_is_inconclusive() -> None:
    evidence = make_evidence(
        {TARGET: plain(answers(3)), CANDIDATE: answers(2)},
        arms=arms(),
        planned={TARGET: ["code/c0"], CANDIDATE: ["code/c0", "code/c1", "code/c2"]},
    )
    verdict = judge(evidence)
    assert (verdict.outcome, verdict.exit_code) == (Outcome.INCONCLUSIVE, 3)
    assert verdict.headline == (
        "INCONCLUSIVE — speculative matched target token for token on 2 of 2 prompts (8 tokens), "
        "but complete: candidate answered 2 of 3 cases"
    )


def test_all_answers_without_a_verdict_line_do_not_pass() -> None:
    evidence = make_run(answers(2))
    assert judge(evidence).exit_code == 0
    verdict = judge(evidence, finished=evidence.sealed is not None)
    assert verdict.exit_code == 3
    assert verdict.headline.endswith(
        "but complete: the run was interrupted before its verdict, so evidence may be missing"
    )


def test_an_empty_run_is_inconclusive() -> None:
    verdict = judge(make_evidence({}))
    assert verdict.headline == (
        "INCONCLUSIVE — complete: nothing was compared: no case was answered by target and "
        "candidate"
    )


def test_a_candidate_that_never_speculated_is_inconclusive() -> None:
    evidence = make_evidence(
        {TARGET: plain(answers(1)), CANDIDATE: plain(answers(1))}, arms=arms(gamma=0)
    )
    assert judge(evidence).headline == (
        "INCONCLUSIVE — candidate matched target token for token on 1 of 1 prompt (4 tokens), "
        "but engaged: speculation was not put to the test: candidate announces 0 speculative tokens"
    )


def test_a_doubt_about_one_workload_of_several_names_it() -> None:
    idle = [make_generation(SAME, key="chat/c0", steps=make_steps(*[(0, 0)] * len(SAME)))]
    given = [*answers(2), *idle]
    suites = tuple(
        SuiteRef(path=f"suites/{workload}.jsonl", workload=workload, digest="d", cases=2)
        for workload in ("code", "chat")
    )
    evidence = make_evidence({TARGET: plain(given), CANDIDATE: given}, arms=arms(), suites=suites)
    doubt = "in chat: speculation was not put to the test: nothing was drafted"
    assert judge(evidence).headline.endswith(f"prompts (12 tokens), but engaged {doubt}")


def test_earlier_findings_do_not_matter() -> None:
    evidence = make_run(answers(2))
    once = judge(evidence)
    again = judge(msgspec.structs.replace(evidence, findings=once.findings, sealed=once.sealed()))
    assert msgspec.json.encode(again) == msgspec.json.encode(once)


@pytest.mark.parametrize(("name", "check"), CHECKS)
def test_every_check_names_itself_and_stands_an_empty_run(name: str, check: object) -> None:
    assert callable(check)
    found = [*check(make_evidence({})), *check(make_run(answers(2)))]
    assert {finding.check for finding in found} <= {name}
