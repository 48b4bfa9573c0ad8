from __future__ import annotations

from typing import Any

import msgspec
import pytest

from equivcheck.checks.engaged import check
from equivcheck.core.cases import Sampling
from equivcheck.core.findings import Finding, Outcome, Reason
from equivcheck.core.generation import Step
from equivcheck.records.records import CANDIDATE, CONTROL, SAMPLED, TARGET, Evidence
from tests.unit.make import (
    make_asked,
    make_capabilities,
    make_evidence,
    make_generation,
    make_request,
    make_steps,
)


def make_run(*steps: Step, gamma: int = 2, more: tuple[Step, ...] = ()) -> Evidence:
    answers = [make_generation(key="code/one", steps=steps)]
    if more:
        answers.append(make_generation(key="chat/one", steps=more))
    arms = {CANDIDATE: make_capabilities(num_speculative_tokens=gamma)}
    return make_evidence({CANDIDATE: answers}, arms=arms)


def found(evidence: Evidence) -> dict[str, Finding]:
    return {finding.subject: finding for finding in check(evidence)}


def test_both_outcomes_and_every_slot_pass() -> None:
    findings = found(make_run(*make_steps((2, 2), (2, 0), (0, 0))))
    assert {finding.outcome for finding in findings.values()} == {Outcome.PASS}
    assert findings["run"].headline == "speculation ran: 2 of 4 draft tokens accepted in 3 steps"
    assert findings["run"].details == ("accepted lengths seen: 0, 2",)
    assert findings["run"].reason is Reason.ENGAGED


VACUOUS = {
    "no-steps": ((), "no verify steps were reported"),
    "no-drafts": (make_steps((0, 0), (0, 0)), "nothing was drafted"),
    "never-accepted": (make_steps((2, 0)), "no draft token was ever accepted"),
    "never-rejected": (make_steps((2, 2)), "no draft token was ever rejected"),
}


@pytest.mark.parametrize(("steps", "what"), VACUOUS.values(), ids=VACUOUS)
def test_a_vacuous_pass_is_inconclusive(steps: tuple[Step, ...], what: str) -> None:
    findings = found(make_run(*steps))
    for finding in findings.values():
        assert (finding.outcome, finding.reason) == (Outcome.INCONCLUSIVE, Reason.NOT_ENGAGED)
        assert what in finding.headline
    assert set(findings) == {"code", "run"}


@pytest.mark.parametrize(
    ("steps", "what"),
    [
        (make_steps((2, 2), (2, 0)), "draft slot 2 never used"),
        (make_steps((1, 1), (1, 0)), "draft slots 1 to 2 never used"),
        (make_steps((3, 2), (3, 0)), "no step accepted all of its drafts"),
    ],
)
def test_the_run_has_to_reach_every_slot(steps: tuple[Step, ...], what: str) -> None:
    findings = found(make_run(*steps, gamma=3))
    assert findings["code"].outcome is Outcome.PASS
    assert findings["run"].outcome is Outcome.INCONCLUSIVE
    assert findings["run"].headline == f"speculation was not put to the test: {what}"


def test_one_idle_workload_is_seen_though_another_is_busy() -> None:
    findings = found(make_run(*make_steps((2, 2), (2, 0)), more=make_steps((0, 0))))
    assert {subject: finding.outcome for subject, finding in findings.items()} == {
        "code": Outcome.PASS,
        "chat": Outcome.INCONCLUSIVE,
        "run": Outcome.PASS,
    }


def test_a_plain_candidate_was_not_tested_as_a_speculative_one() -> None:
    (finding,) = check(make_run(gamma=0))
    assert (finding.subject, finding.outcome) == ("run", Outcome.INCONCLUSIVE)


@pytest.mark.parametrize("arm", [TARGET, CONTROL])
def test_an_arm_that_stands_for_plain_decoding_must_not_draft(arm: str) -> None:
    evidence = make_evidence({arm: [make_generation(steps=make_steps((2, 2), (2, 0)))]})
    (finding,) = check(evidence)
    assert (finding.outcome, finding.reason) == (Outcome.INCONCLUSIVE, Reason.NOT_COMPARABLE)
    assert finding.headline.startswith(f"{arm} is no plain decoding: it drafts itself, 4 draft tok")
    announced = {arm: make_capabilities(num_speculative_tokens=3)}
    (finding,) = check(make_evidence({arm: [make_generation()]}, arms=announced))
    assert "up to 3 a step" in finding.headline
    assert check(make_evidence({arm: [make_generation(steps=make_steps((0, 0)))]})) == []


def test_drafts_for_greedy_prompts_alone_do_not_put_sampled_ones_to_the_test() -> None:
    busy, idle = make_steps((2, 2), (2, 0)), make_steps((0, 0))
    answers = [
        make_generation(key=key, steps=steps)
        for key, steps in (("code/one", busy), ("code/two", idle))
    ]
    requests = [
        make_request("code/one"),
        make_request("code/two", sampling=Sampling(temperature=1.0)),
    ]
    arms = {CANDIDATE: make_capabilities(num_speculative_tokens=2)}
    findings = found(make_evidence({CANDIDATE: answers}, arms=arms, requests=requests))
    assert findings["code"].outcome is Outcome.PASS
    assert findings["run"].headline.endswith("nothing was drafted for sampled prompts")


@pytest.mark.parametrize(
    ("steps", "gamma", "what"),
    [
        (make_steps((2, 2), (2, 0)), 2, None),
        (make_steps((0, 0), (0, 0)), 2, "nothing was drafted"),
        (make_steps((2, 2), (2, 2)), 2, "no draft token was ever rejected"),
        (make_steps((0, 0)), 0, "sampled announces 0 speculative tokens"),
    ],
)
def test_draws_have_to_be_speculated_themselves(
    steps: tuple[Step, ...], gamma: int, what: str | None
) -> None:
    run = make_run(*make_steps((2, 2), (2, 0)))
    arms = run.header.arms | {SAMPLED: make_capabilities(num_speculative_tokens=gamma)}
    drawn = {"code/one#1": make_generation(key="code/one#1", steps=steps)}
    evidence = msgspec.structs.replace(
        run, header=msgspec.structs.replace(run.header, arms=arms), draws={SAMPLED: drawn}
    )
    *_, finding = check(evidence)
    assert (finding.outcome is Outcome.PASS) == (what is None)
    words = f"was not put to the test in draws: {what}" if what else "ran in draws: 2 of 4 draft"
    assert words in finding.headline


BUSY = make_steps((2, 2), (2, 0))
KINDS = {
    "sampled prompts": {"sampling": Sampling(temperature=0.7)},
    "prompts with penalties": {"sampling": Sampling(repetition_penalty=1.2)},
    "prompts with stop strings": {"stop": ("x",)},
}


def beside_busy(steps: tuple[Step, ...], **fields: Any) -> Finding:
    """The finding about a run of a plain prompt, half of whose drafts are accepted, and another."""
    answers = [
        make_generation(key="code/one", steps=BUSY * 10),
        make_generation(key="code/two", steps=steps),
    ]
    requests = [make_request("code/one"), make_request("code/two", **fields)]
    arms = {CANDIDATE: make_capabilities(num_speculative_tokens=2)}
    return found(make_evidence({CANDIDATE: answers}, arms=arms, requests=requests))["run"]


@pytest.mark.parametrize(("kind", "fields"), KINDS.items())
def test_each_kind_of_request_has_to_see_drafts_accepted_and_rejected(
    kind: str, fields: dict[str, Any]
) -> None:
    for step, what in (((2, 0), "accepted"), ((2, 2), "rejected")):
        finding = beside_busy(make_steps(step) * 26, **fields)
        assert (finding.outcome, finding.reason) == (Outcome.INCONCLUSIVE, Reason.NOT_ENGAGED)
        assert finding.headline.endswith(f": none of 52 drafts for {kind} was {what}")
        # 1 - 0.5 / 4 to the power 51 is 0.0011: so few can be chance.
        assert beside_busy(make_steps(step) * 25, **fields).outcome is Outcome.PASS
    assert beside_busy(make_steps((2, 0)) * 26 + make_steps((2, 2)), **fields).outcome is (
        Outcome.PASS
    )


def test_kinds_that_are_alike_pass_however_seldom_drafts_are_right() -> None:
    assert beside_busy(make_steps((2, 1)) + make_steps((2, 0)) * 400, stop=("x",)).outcome is (
        Outcome.PASS
    )


def test_biased_prompts_may_leave_nothing_to_reject() -> None:
    sampling = Sampling(logit_bias={7: 1e3})
    assert beside_busy(make_steps((2, 2)) * 40, sampling=sampling).outcome is Outcome.PASS
    finding = beside_busy(make_steps((2, 0)) * 26, sampling=sampling)
    assert finding.headline.endswith(": none of 52 drafts for prompts with biases was accepted")


def test_penalised_prompts_that_nothing_is_drafted_for_are_seen() -> None:
    sampling = Sampling(presence_penalty=1.0)
    finding = beside_busy(make_steps((0, 0)) * 30, sampling=sampling)
    assert finding.headline.endswith(": nothing was drafted for prompts with penalties")
    assert beside_busy(make_steps((0, 0)) * 20, sampling=sampling).outcome is Outcome.PASS


def test_a_request_with_many_drafts_and_none_accepted_is_named() -> None:
    finding = beside_busy(make_steps((2, 0)) * 50)
    assert finding.details[-1] == "code/two: none of 100 drafts was accepted"
    assert "code/two" not in str(beside_busy(make_steps((2, 0)) * 49).details)


def test_draws_are_looked_at_by_kind_too() -> None:
    plain = make_request("code/one", sampling=Sampling(temperature=1.0))
    stopping = make_request("code/two", sampling=Sampling(temperature=1.0), stop=("x",))
    run = make_run(*BUSY)
    draws = {
        f"{request.key}#{number}": make_generation(key=f"{request.key}#{number}", steps=steps)
        for request, steps in ((plain, BUSY * 5), (stopping, make_steps((2, 0)) * 15))
        for number in (1, 2)
    }
    evidence = msgspec.structs.replace(
        run,
        header=msgspec.structs.replace(
            run.header,
            arms=run.header.arms | {SAMPLED: make_capabilities(num_speculative_tokens=2)},
        ),
        asked=run.asked | {each.key: make_asked(each) for each in (plain, stopping)},
        draws={SAMPLED: draws},
    )
    *_, finding = check(evidence)
    assert finding.outcome is Outcome.INCONCLUSIVE
    assert finding.headline.endswith(
        "in draws: none of 60 drafts for prompts with stop strings was accepted"
    )


def test_steps_that_only_some_answers_tell_are_not_counted() -> None:
    evidence = make_run(*make_steps((2, 2), (2, 0)), more=make_steps((2, 1)))
    captured = evidence.captured[CANDIDATE]
    answer = captured["chat/one"].generation
    totals = msgspec.structs.replace(answer, steps=(), counts=answer.totals)
    captured["chat/one"] = msgspec.structs.replace(captured["chat/one"], generation=totals)
    headline = found(evidence)["run"].headline
    assert "accepted" in headline
    assert "step" not in headline.replace("last step", "")
