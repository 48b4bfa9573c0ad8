"""The greedy and coupled gates, which share how they hold the candidate to the target."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from equivcheck.checks import coupled, greedy
from equivcheck.core.cases import Sampling
from equivcheck.core.engine import Capabilities, Rule
from equivcheck.core.findings import Finding, Outcome, Reason
from equivcheck.core.generation import Generation
from equivcheck.core.settings import EngineSetup, Settings
from equivcheck.records.records import CANDIDATE, CONTROL, TARGET, Arbitration, Evidence
from tests.unit.make import (
    make_arbitration,
    make_capabilities,
    make_evidence,
    make_generation,
    make_request,
    make_steps,
)

SAME, OTHER = (10, 11, 12, 13), (10, 11, 77, 78)
BF16 = Settings(setup=EngineSetup(dtype="bfloat16"))


def arms(*, contract: str | None = None, rule: Rule = "greedy") -> dict[str, Capabilities]:
    plain = make_capabilities(identity=contract, rule=rule)
    return {
        TARGET: plain,
        CANDIDATE: msgspec.structs.replace(plain, num_speculative_tokens=4),
        CONTROL: make_capabilities(rule=rule),
    }


def answers(count: int, *, parted: Sequence[int] = (), workload: str = "code") -> list[Generation]:
    return [
        make_generation(
            OTHER if index in parted else SAME,
            key=f"{workload}/c{index}",
            steps=make_steps((2, 1), (1, 1)),
        )
        for index in range(count)
    ]


def tie(key: str, *, arm_logprob: float = -0.75) -> Arbitration:
    return make_arbitration(
        key=key,
        context="return fib(n - 1) +",
        target_piece=" fib",
        arm_piece=" f",
        arm_logprob=arm_logprob,
        best=12,
        best_logprob=-0.7,
    )


def make_run(
    *,
    cases: int = 3,
    parted: Sequence[int] = (),
    control_parted: Sequence[int] | None = (),
    arbitrated: Sequence[int] | None = None,
    contract: str | None = None,
) -> Evidence:
    given = {TARGET: answers(cases), CANDIDATE: answers(cases, parted=parted)}
    if control_parted is not None:
        given[CONTROL] = answers(cases, parted=control_parted)
    return make_evidence(
        given,
        arms=arms(contract=contract),
        settings=BF16,
        arbitrations=[tie(f"code/c{i}") for i in (parted if arbitrated is None else arbitrated)],
    )


def by_subject(findings: list[Finding]) -> dict[str, tuple[Outcome, Reason]]:
    return {finding.subject: (finding.outcome, finding.reason) for finding in findings}


def test_identical_arms_pass_case_by_case_and_together() -> None:
    findings = greedy.check(make_run(contract="fixed-shape"))
    assert set(by_subject(findings).values()) == {(Outcome.PASS, Reason.IDENTICAL)}
    summary = findings[-1]
    assert summary.subject == "code"
    assert summary.headline == "3 of 3 cases identical (12 tokens matched)"
    assert (summary.estimate, summary.n) == (1.0, 12)


def test_under_a_shared_contract_a_near_tie_is_not_excused() -> None:
    findings = greedy.check(make_run(parted=[1], contract="fixed-shape"))
    assert by_subject(findings) == {
        "code/c0": (Outcome.PASS, Reason.IDENTICAL),
        "code/c1": (Outcome.FAIL, Reason.DIVERGED),
        "code/c2": (Outcome.PASS, Reason.IDENTICAL),
        "code": (Outcome.FAIL, Reason.DIVERGED),
    }
    assert findings[-1].headline == "2 of 3 cases identical, 1 diverged (10 tokens matched)"
    assert "'fixed-shape', which excuses nothing" in findings[1].details[-1]


def test_two_different_contracts_are_none() -> None:
    evidence = make_run(parted=[1], control_parted=[1])
    header = evidence.header
    given = {
        TARGET: msgspec.structs.replace(header.arms[TARGET], identity="one"),
        CANDIDATE: msgspec.structs.replace(header.arms[CANDIDATE], identity="other"),
        CONTROL: header.arms[CONTROL],
    }
    header = msgspec.structs.replace(header, arms=given)
    findings = greedy.check(msgspec.structs.replace(evidence, header=header))
    assert by_subject(findings)["code/c1"] == (Outcome.PASS, Reason.NUMERICS)


def with_digests(evidence: Evidence, *, arm: str, digests: tuple[int, ...]) -> Evidence:
    captured = {name: dict(found) for name, found in evidence.captured.items()}
    for key, found in captured[arm].items():
        generation = msgspec.structs.replace(found.generation, logit_digests=digests)
        captured[arm][key] = msgspec.structs.replace(found, generation=generation)
    return msgspec.structs.replace(evidence, captured=captured)


def test_a_contract_covers_the_logits_bits() -> None:
    evidence = with_digests(
        make_run(cases=1, contract="fixed-shape"), arm=TARGET, digests=(1, 2, 3, 4)
    )
    same = greedy.check(with_digests(evidence, arm=CANDIDATE, digests=(1, 2, 3, 4)))
    assert same[-1].headline == (
        "1 of 1 case identical, logits bit-identical at 4 positions (4 tokens matched)"
    )
    case, summary = greedy.check(with_digests(evidence, arm=CANDIDATE, digests=(1, 2, 9, 9)))
    assert (case.outcome, summary.outcome) == (Outcome.FAIL, Outcome.FAIL)
    assert case.headline == (
        "tokens are identical, but logits differ in their bits at output token 2 "
        "(sequence position 5), first of all: "
        "the identity contract is broken"
    )
    without = with_digests(make_run(cases=1), arm=TARGET, digests=(1, 2, 3, 4))
    assert greedy.check(with_digests(without, arm=CANDIDATE, digests=(1, 2, 9, 9)))[0].outcome is (
        Outcome.PASS
    )


def test_a_divergence_shows_all_its_evidence() -> None:
    case = greedy.check(make_run(parted=[1], contract="fixed-shape"))[1]
    assert case.headline == "candidate diverged from target at output token 2 of 4: 12 became 77"
    assert case.details == (
        "return fib(n - 1) +⟦ fib⟧   target: token 12",
        "return fib(n - 1) +⟦ f⟧   candidate: token 77",
        "at output token 2 (sequence position 5); target has 4, candidate 4",
        "candidate's verify step 1, draft slot 0 (an accepted draft)",
        "transformers fp32: -0.7 for target's token, -0.75 for candidate's; best is 12",
        "apart by 0.05 nats = 0.4 ulp (bfloat16, logits near 20); allowed 8 ulp = 1 nats",
        "target's whole output: at most 0 nats under the reference's best, at token 0",
        "candidate's whole output: at most 0.05 nats under the reference's best, at token 2",
        "so: both arms name the identity contract 'fixed-shape', which excuses nothing",
    )
    assert case.repeat == "equivcheck replay run-1 code/c1"


def test_hostile_pieces_cannot_reach_the_terminal() -> None:
    evidence = make_run(parted=[0], contract="fixed-shape")
    arbitration = msgspec.structs.replace(
        evidence.arbitrations[0], context="\x1b[2J" + "x" * 10_000, arm_piece="\u202e\n" * 50
    )
    evidence = msgspec.structs.replace(evidence, arbitrations=(arbitration,))
    for line in greedy.check(evidence)[0].details:
        assert line.isprintable()
        assert len(line) <= 100


def test_without_arbitration_the_texts_are_shown() -> None:
    details = greedy.check(make_run(parted=[0], arbitrated=[], contract="c"))[0].details
    assert details[:4] == (
        "⟦12⟧   target: token 12",
        "⟦77⟧   candidate: token 77",
        "target's text: text",
        "candidate's text: text",
    )
    assert "reference: none has scored this divergence" in details


def test_own_scores_are_shown_with_their_margin() -> None:
    evidence = make_run(cases=1, parted=[0])
    captured = {arm: dict(found) for arm, found in evidence.captured.items()}
    answer = make_generation(
        OTHER, key="code/c0", scores=[(-0.1, 5, -3.0)] * 2 + [(-0.7, 12, -0.825), (-0.1, 5, -3.0)]
    )
    captured[CANDIDATE]["code/c0"] = msgspec.structs.replace(
        captured[CANDIDATE]["code/c0"], generation=answer
    )
    details = greedy.check(msgspec.structs.replace(evidence, captured=captured))[0].details
    assert (
        "candidate's own scores: -0.7 for its token 77, -0.825 for 12: margin 0.125 = 1 ulp"
        in details
    )


def test_a_missing_magnitude_is_said() -> None:
    evidence = make_run(cases=1, parted=[0])
    arbitration = msgspec.structs.replace(evidence.arbitrations[0], magnitude=None)
    evidence = msgspec.structs.replace(evidence, arbitrations=(arbitration,))
    case = greedy.check(evidence)[0]
    assert case.outcome is Outcome.INCONCLUSIVE
    assert "apart by 0.05 nats, logits of unknown size" in case.details


def test_stopping_early_is_shown_as_an_end() -> None:
    evidence = make_evidence(
        {
            TARGET: [make_generation(SAME)],
            CANDIDATE: [make_generation(SAME[:2], finish_reason="eos")],
        }
    )
    case = greedy.check(evidence)[0]
    assert case.outcome is Outcome.FAIL
    assert "⟦end⟧   candidate: ended (eos)" in case.details
    assert case.headline.endswith(
        "target ended with 'length' after 4 tokens, candidate with 'eos' after 2"
    )


def test_near_ties_pass_within_the_controls_rate() -> None:
    findings = greedy.check(make_run(cases=12, parted=[1, 2], control_parted=[2, 3]))
    found = by_subject(findings)
    assert found["code/c1"] == found["code/c2"] == (Outcome.PASS, Reason.NUMERICS)
    assert found["code"] == found["run"] == (Outcome.PASS, Reason.NUMERICS)
    assert findings[-1].headline == (
        "near ties in budget: 2 of 12 cases, control 2 (p = 0.75, fails at 0.0005)"
    )
    assert findings[0].repeat is None
    assert findings[1].headline.startswith("candidate left target at a near tie at output token 2")


def test_more_near_ties_than_the_control_shows_fail() -> None:
    findings = greedy.check(make_run(cases=12, parted=range(11), control_parted=[]))
    over = [finding for finding in findings if finding.reason is Reason.NUMERICS_OVER_BUDGET]
    assert [finding.subject for finding in over] == ["code", "run"]
    assert all(finding.outcome is Outcome.FAIL for finding in over)
    assert over[0].headline == (
        "more near ties than arithmetic explains: "
        "11 of 12 cases, control 0 (p = 0.00049, fails at 0.0005)"
    )


def test_a_few_near_ties_in_each_workload_add_up() -> None:
    workloads = ("code", "chat", "creative")
    given = {
        arm: [
            answer
            for workload in workloads
            for answer in answers(8, parted=parted, workload=workload)
        ]
        for arm, parted in ((TARGET, ()), (CANDIDATE, range(5)), (CONTROL, ()))
    }
    arbitrations = [tie(f"{workload}/c{index}") for workload in workloads for index in range(5)]
    evidence = make_evidence(given, arms=arms(), settings=BF16, arbitrations=arbitrations)
    over = [f for f in greedy.check(evidence) if f.reason is Reason.NUMERICS_OVER_BUDGET]
    assert [finding.subject for finding in over] == ["run"]


def test_near_ties_without_a_control_are_inconclusive() -> None:
    last = greedy.check(make_run(parted=[1], control_parted=None))[-1]
    assert (last.subject, last.outcome, last.reason) == (
        "run",
        Outcome.INCONCLUSIVE,
        Reason.NOT_COMPARABLE,
    )


def test_an_unarbitrated_difference_is_inconclusive_and_counts_against_the_budget() -> None:
    findings = greedy.check(make_run(cases=12, parted=[1], arbitrated=[]))
    found = by_subject(findings)
    assert found["code/c1"] == found["code"] == (Outcome.INCONCLUSIVE, Reason.NO_ARBITRATION)
    many = by_subject(greedy.check(make_run(cases=12, parted=range(12), arbitrated=[])))
    assert many["run"] == (Outcome.FAIL, Reason.NUMERICS_OVER_BUDGET)


def sampled_run(
    *, rules: tuple[Rule, Rule], contract: str | None = None, other: tuple[int, ...] = SAME
) -> Evidence:
    target, candidate = rules
    return make_evidence(
        {
            TARGET: [make_generation(SAME)],
            CANDIDATE: [make_generation(other)],
            CONTROL: [make_generation(SAME)],
        },
        requests=[make_request(sampling=Sampling(temperature=0.7))],
        arms={
            TARGET: make_capabilities(rule=target, identity=contract),
            CANDIDATE: make_capabilities(rule=candidate, identity=contract),
            CONTROL: make_capabilities(rule=target),
        },
    )


def test_greedy_leaves_sampled_cases_to_coupled_and_the_other_way_round() -> None:
    assert greedy.check(sampled_run(rules=("coupled", "coupled"))) == []
    assert coupled.check(make_run()) == []


@pytest.mark.parametrize(
    ("rules", "contract"),
    [(("coupled", "coupled"), None), (("coupled", "coupled"), "c"), (("greedy", "coupled"), "c")],
)
def test_shared_noise_makes_identity_the_claim(rules: tuple[Rule, Rule], contract: str) -> None:
    findings = coupled.check(sampled_run(rules=rules, contract=contract))
    assert by_subject(findings) == {
        "code/one": (Outcome.PASS, Reason.IDENTICAL),
        "code": (Outcome.PASS, Reason.IDENTICAL),
    }


@pytest.mark.parametrize(
    ("rules", "contract"),
    [
        (("rejection", "rejection"), "c"),
        (("coupled", "rejection"), "c"),
        (("greedy", "coupled"), None),
    ],
)
def test_other_rules_cannot_be_compared(rules: tuple[Rule, Rule], contract: str | None) -> None:
    (finding,) = coupled.check(sampled_run(rules=rules, contract=contract))
    assert (finding.subject, finding.outcome) == ("code", Outcome.INCONCLUSIVE)
    assert finding.reason is Reason.NOT_COMPARABLE
    assert finding.headline.startswith("1 sampled case cannot be compared token by token: target ")


def test_a_sampled_difference_fails_under_a_contract_and_is_open_without() -> None:
    rules: tuple[Rule, Rule] = ("coupled", "coupled")
    under = by_subject(coupled.check(sampled_run(rules=rules, contract="c", other=OTHER)))
    assert under["code/one"] == (Outcome.FAIL, Reason.DIVERGED)
    without = by_subject(coupled.check(sampled_run(rules=rules, other=OTHER)))
    assert without["code/one"] == (Outcome.INCONCLUSIVE, Reason.NO_ARBITRATION)
    ended = by_subject(coupled.check(sampled_run(rules=rules, other=SAME[:2])))
    assert ended["code/one"] == (Outcome.FAIL, Reason.DIVERGED)
