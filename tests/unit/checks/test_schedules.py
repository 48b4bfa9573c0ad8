"""What is served has to be what is answered alone; the first difference in time is told."""

from __future__ import annotations

import msgspec

from equivcheck.checks.schedules import judge
from equivcheck.core.findings import Finding, Outcome, Reason
from equivcheck.core.generation import FinishReason, Generation
from equivcheck.core.service_schedule import Arrival, Demand, Schedule, Served
from equivcheck.core.serving import Happened, ServedEvent


def answer(
    key: str, *tokens: int, reason: FinishReason = "length", bits: int | None = None
) -> Generation:
    digests = tuple(bits + token for token in tokens) if bits is not None else None
    return Generation(
        key=key, token_ids=tokens, finish_reason=reason, prompt_tokens=3, logit_digests=digests
    )


def event(step: int, key: str, happened: Happened, *tokens: int) -> ServedEvent:
    return ServedEvent(step=step, key=key, happened=happened, row=0, tokens=tokens)


def life(given: Generation, *, step: int = 1) -> list[ServedEvent]:
    """A request that is seated, gets a token a step, and ends."""
    tokens = [
        event(step + place, given.key, "tokens", token)
        for place, token in enumerate(given.token_ids)
    ]
    end = event(step + len(tokens) - 1, given.key, "finished")
    return [
        event(step, given.key, "seated"),
        event(step, given.key, "begun"),
        *tokens,
        msgspec.structs.replace(end, generation=given),
    ]


def judged(
    events: list[ServedEvent],
    *alone: Generation,
    demands: tuple[Demand, ...] = (),
    bits: bool = False,
) -> list[Finding]:
    keys = dict.fromkeys(each.key for each in alone)
    schedule = Schedule(
        name="toy", arrivals=tuple(Arrival(key=key) for key in keys), demands=demands
    )
    return judge(
        schedule,
        Served(events=tuple(events)),
        alone={each.key: each for each in alone},
        bits=bits,
    )


def test_equal_answers_pass() -> None:
    one, other = answer("a", 1, 2, 3), answer("b", 4, 5)
    (finding,) = judged([*life(one), *life(other, step=2)], one, other)
    assert (finding.outcome, finding.n) == (Outcome.PASS, 5)
    assert finding.headline == "toy: 2 of 2 answers as alone"


def test_the_first_difference_in_time_is_told_first() -> None:
    wrong, late = answer("a", 1, 2, 9), answer("b", 4, 9)
    events = [*life(wrong, step=1), *life(late, step=1)]
    first, second = judged(events, answer("a", 1, 2, 3), answer("b", 4, 5))
    assert (first.subject, second.subject) == ("b", "a")
    assert first.headline == "toy: b at step 2: token 1 is 9, alone is 5"
    assert {first.reason, second.reason} == {Reason.SCHEDULE_DEPENDENT}
    assert (first.n, second.n) == (2, 3)


def test_what_happened_before_is_told() -> None:
    given_up = event(2, "a", "given up")
    wrong = life(answer("b", 9), step=3)
    seated = msgspec.structs.replace(wrong[0], after="a")
    begun = msgspec.structs.replace(wrong[1], cached=16, source="a", recomputed=4)
    events = [event(1, "a", "tokens", 1), given_up, seated, begun, *wrong[2:]]
    (finding,) = judged(events, answer("a", 1, 2), answer("b", 5))
    assert finding.details == (
        "step 2: a given up",
        "step 3: b seated in row 0, which had served a (given up)",
        "step 3: b begun, 16 prompt tokens taken over from a, 4 output tokens computed again",
        "step 3: b finished",
    )


def test_what_was_told_before_giving_up_is_compared() -> None:
    expected = answer("a", 1, 2, 3)
    other = answer("b", 7)
    for tokens, outcome in (((1, 2), Outcome.PASS), ((1, 9), Outcome.FAIL)):
        events = [event(1, "a", "tokens", *tokens), event(2, "a", "given up"), *life(other)]
        (finding,) = judged(events, expected, other)
        assert finding.outcome is outcome


def test_a_retry_has_to_begin_at_the_beginning() -> None:
    """Tokens kept back from the request that was given up are another answer."""
    expected = answer("a", 1, 2, 3)
    given_up = [event(1, "a", "tokens", 1), event(2, "a", "given up")]
    assert judged([*given_up, *life(expected, step=3)], expected)[0].outcome is Outcome.PASS
    rest = [event(3, "a", "tokens", 2), event(4, "a", "tokens", 3)]
    assert judged([*given_up, *rest], expected)[0].outcome is Outcome.FAIL


def test_another_end_and_no_answer_fail() -> None:
    expected = answer("a", 1, 2)
    (ended,) = judged(life(answer("a", 1, 2, reason="stop")), expected)
    assert ended.headline.endswith("it ended by stop, alone by length")
    (short,) = judged(life(answer("a", 1)), expected)
    assert short.headline.endswith("token 1 is not there, alone is 2")
    (long,) = judged(life(answer("a", 1, 2, 3)), expected)
    assert long.headline.endswith("token 2 is 3, alone there is none (2 tokens)")
    (lost,) = judged(life(expected), expected, answer("b", 1))
    assert lost.headline.endswith("it has no answer")


def test_bits_count_under_a_contract_alone() -> None:
    expected, others = answer("a", 1, 2, bits=0), answer("a", 1, 2, bits=5)
    assert judged(life(others), expected)[0].outcome is Outcome.PASS
    (finding,) = judged(life(others), expected, bits=True)
    assert finding.headline.endswith("logits behind token 0 have other bits")


def test_a_schedule_that_brought_nothing_about_passes_nothing() -> None:
    one = answer("a", 1)
    (finding,) = judged(life(one), one, demands=("given up", "preempted"))
    assert (finding.outcome, finding.reason) == (Outcome.INCONCLUSIVE, Reason.NOT_EXERCISED)
    assert finding.headline == "toy: did not bring about: given up, preempted"
    (nothing,) = judged([event(1, "a", "given up")], one)
    assert (nothing.outcome, nothing.reason) == (Outcome.INCONCLUSIVE, Reason.NOTHING_COMPARED)
