"""Requests that come and go are answered as without their times; what was not tried is said."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from equivcheck.checks.served import check, unserved_words
from equivcheck.core.cases import Sampling
from equivcheck.core.findings import Finding, Outcome, Reason
from equivcheck.core.generation import Generation
from equivcheck.core.service_schedule import Arrival, Schedule, demands_of
from equivcheck.core.serving import Happened, ServedEvent
from equivcheck.core.times import Delay, Patience, ServingLimits
from equivcheck.records.records import (
    CANDIDATE,
    SERVED,
    TARGET,
    Arbitration,
    Evidence,
    ServedRun,
)
from tests.unit.make import (
    make_arbitration,
    make_capabilities,
    make_evidence,
    make_gaps,
    make_generation,
    make_request,
)

ONE, TWO = make_generation((10, 11, 12), key="p/one"), make_generation((20, 21), key="p/two")
OTHER = make_generation((20, 29), key="p/two")
GIVEN_UP = Arrival(key="p/one", give_up_after=Patience(tokens=1))
ARRIVALS = (Arrival(key="p/one"), Arrival(key="p/two"))
CONTRACT = "fixed-shape"


def event(step: int, key: str, happened: Happened, *tokens: int) -> ServedEvent:
    return ServedEvent(step=step, key=key, happened=happened, tokens=tokens)


def life(answer: Generation, step: int = 1) -> list[ServedEvent]:
    """It is begun, told in one step, and ends."""
    return [
        event(step, answer.key, "begun"),
        event(step + 1, answer.key, "tokens", *answer.token_ids),
        event(step + 1, answer.key, "finished"),
    ]


def evidence(
    *served: Generation,
    arrivals: tuple[Arrival, ...] = ARRIVALS,
    events: list[ServedEvent] | None = None,
    identity: str | None = CONTRACT,
    sampling: Sampling | None = None,
    limits: ServingLimits | None = None,
    arbitrations: tuple[Arbitration, ...] = (),
    by_clock: bool = False,
    **told: Any,
) -> Evidence:
    """A run whose candidate answers ONE and TWO, and serves so."""
    arm = make_capabilities(identity=identity, rule="coupled", engine="toy:x=1", **told)
    schedule = Schedule(
        name="p",
        arrivals=arrivals,
        limits=limits or ServingLimits(),
        demands=demands_of(arrivals),
    )
    found = make_evidence(
        {TARGET: [ONE, TWO], CANDIDATE: [ONE, TWO], SERVED: served},
        arms={TARGET: arm, CANDIDATE: arm, SERVED: arm},
        requests=[
            make_request(each.key, max_new_tokens=4, sampling=sampling or Sampling())
            for each in (ONE, TWO)
        ],
        arbitrations=arbitrations,
        schedules=(schedule,),
    )
    if events is None:
        events = [each for answer in served for each in life(answer)]
    run = ServedRun(arm=SERVED, schedule=schedule, events=tuple(events), by_clock=by_clock)
    return replace(found, served=(run,))


def own(found: list[Finding]) -> list[Finding]:
    """Those of the candidate."""
    return [each for each in found if not each.headline.startswith("target")]


def test_a_run_without_times_has_nothing_to_say() -> None:
    plain = evidence(ONE, TWO)
    header = replace(plain.header, schedules=())
    assert check(replace(plain, header=header)) == []


def test_equal_answers_pass_and_what_happened_is_told() -> None:
    total, summary = own(check(evidence(ONE, TWO)))
    assert (summary.outcome, summary.subject, summary.n) == (Outcome.PASS, "p", 5)
    assert summary.headline == (
        "candidate: 2 of 2 requests answered alike with and without their times"
    )
    assert (total.subject, total.headline) == ("run", "candidate served 2 requests")


def test_another_answer_fails_and_says_what_happened_before() -> None:
    events = [*life(ONE), event(2, "p/one", "given up"), *life(OTHER, step=2)]
    case, summary = own(check(evidence(ONE, OTHER, events=events)))
    assert (case.subject, case.outcome, case.reason) == (
        "p/two",
        Outcome.FAIL,
        Reason.SCHEDULE_DEPENDENT,
    )
    assert case.headline == "candidate, served, at step 3: token 1 is 29, alone is 21"
    assert "step 2: p/one given up" in case.details
    assert case.repeat is not None
    assert case.repeat.startswith("equivcheck run suites/p.jsonl --pair tiny")
    assert (summary.outcome, summary.reason) == (Outcome.FAIL, Reason.SCHEDULE_DEPENDENT)
    assert summary.headline.startswith("candidate: 1 of 2 requests")


def test_other_bits_fail_under_a_contract_alone() -> None:
    digests = replace(ONE, logit_digests=(1, 2, 3)), replace(ONE, logit_digests=(1, 2, 4))
    for identity, outcome in ((CONTRACT, Outcome.FAIL), (None, Outcome.PASS)):
        found = evidence(digests[1], TWO, identity=identity)
        alone = {**found.captured[CANDIDATE]}
        alone["p/one"] = replace(alone["p/one"], generation=digests[0])
        found = replace(found, captured={**found.captured, CANDIDATE: alone})
        assert own(check(found))[-1].outcome is outcome


def test_what_was_told_before_giving_up_is_judged_and_no_more() -> None:
    arrivals = (GIVEN_UP, ARRIVALS[1])
    for tokens, outcome in (((10,), Outcome.PASS), ((), Outcome.PASS), ((19,), Outcome.FAIL)):
        events = [
            event(1, "p/one", "tokens", *tokens),
            event(2, "p/one", "given up"),
            *life(TWO, step=2),
        ]
        assert own(check(evidence(TWO, arrivals=arrivals, events=events)))[-1].outcome is outcome


def test_nobody_given_up_though_some_were_to_be_is_no_pass() -> None:
    arrivals = (replace(GIVEN_UP, retry=Delay()), ARRIVALS[1])
    (summary,) = own(check(evidence(ONE, TWO, arrivals=arrivals)))
    assert (summary.outcome, summary.reason) == (Outcome.INCONCLUSIVE, Reason.NOT_EXERCISED)
    assert summary.headline.endswith("; nothing was given up, nothing was retried")


def test_no_preemption_is_said_and_costs_nothing() -> None:
    limits = ServingLimits(live_tokens=64)
    events = [event(1, "p/one", "seated"), *life(ONE), *life(TWO)]
    _, summary = own(check(evidence(ONE, TWO, limits=limits, events=events)))
    assert (summary.outcome, summary.details) == (Outcome.PASS, ("nothing was preempted",))


def test_an_engine_that_tells_no_rows_has_its_own_memory() -> None:
    *_, summary = own(check(evidence(ONE, TWO)))
    assert summary.details == ("rows are not told by this engine, whose memory is set as it opens",)


def test_without_a_contract_a_near_tie_is_weighed() -> None:
    def arbitrated(gap: float) -> Arbitration:
        return make_arbitration(
            key="p/two",
            arm=SERVED,
            position=1,
            target_logprob=-1.0,
            arm_logprob=-1.0 - gap,
            target_gaps=make_gaps(0.0, 0.0),
            arm_gaps=make_gaps(0.0, gap),
        )

    def outcome(*arbitrations: Arbitration, **told: Any) -> Outcome:
        given = evidence(ONE, OTHER, identity=None, arbitrations=arbitrations, **told)
        return own(check(given))[-1].outcome

    assert outcome(arbitrated(1e-7)) is Outcome.PASS
    assert outcome(arbitrated(2.0)) is Outcome.FAIL
    assert outcome() is Outcome.INCONCLUSIVE
    assert outcome(arbitrated(2.0), dtype="not told") is Outcome.INCONCLUSIVE


def test_without_a_contract_sampled_answers_and_parts_are_not_judged() -> None:
    drawn = Sampling(temperature=1.0)
    (summary,) = own(check(evidence(ONE, OTHER, identity=None, sampling=drawn)))
    assert (summary.outcome, summary.reason) == (Outcome.INCONCLUSIVE, Reason.NOTHING_COMPARED)
    assert summary.details[0].startswith("not judged: 2 sampled")
    events = [event(1, "p/one", "tokens", 19), event(2, "p/one", "given up"), *life(TWO)]
    arrivals = (GIVEN_UP, ARRIVALS[1])
    found = evidence(TWO, arrivals=arrivals, events=events, identity=None, by_clock=True)
    _, summary = own(check(found))
    assert summary.outcome is Outcome.PASS
    assert summary.details[0].startswith("not judged: 1 given up")
    assert summary.details[1].startswith("rows, preemption and reuse are not told")


def test_an_engine_that_cannot_serve_is_said_in_the_verdict() -> None:
    found = evidence(ONE, TWO, arrivals=(GIVEN_UP, ARRIVALS[1]))
    planned = {arm: keys for arm, keys in found.header.planned.items() if arm != SERVED}
    found = replace(found, header=replace(found.header, planned=planned), served=())
    ours, _ = check(found)
    assert (ours.outcome, ours.reason) == (Outcome.PASS, Reason.LEFT_OUT)
    assert ours.headline.startswith("candidate: 2 requests asked without their times, which toy")
    assert ours.details == ("suites with times: p", "not exercised: given up")
    assert unserved_words(found) == "without the times of p, which toy cannot keep"


def test_a_schedule_that_was_not_served_to_its_end_is_no_pass() -> None:
    (finding,) = own(check(replace(evidence(ONE, TWO), served=())))
    assert (finding.outcome, finding.reason) == (Outcome.INCONCLUSIVE, Reason.MISSING)
