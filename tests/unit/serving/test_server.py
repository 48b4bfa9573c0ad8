"""Requests come, are given up and end while the decoder runs, and no bit of an answer moves."""

from __future__ import annotations

import random

import msgspec
import pytest

from equivcheck.core.errors import EngineError
from equivcheck.core.generation import Request
from equivcheck.core.serving import ServedEvent, ServingLimits
from equivcheck.serving.server import Server
from tests.unit.decoding.models import make_requests
from tests.unit.serving.make import alone, answers, bits, finish, same, server, sharing

LIMITS = {
    "roomy": ServingLimits(),
    "no prefixes": ServingLimits(prefix_tokens=0),
    "tight": ServingLimits(prefix_tokens=64, live_tokens=220),
}


def kinds(events: list[ServedEvent], key: str) -> list[str]:
    return [each.happened for each in events if each.key == key and each.happened != "tokens"]


@pytest.mark.parametrize("limits", LIMITS.values(), ids=LIMITS)
@pytest.mark.parametrize("drafter", ["model", "lookup"])
@pytest.mark.parametrize(("lag", "together"), [(0, True), (1, False), (1, True)])
def test_whatever_happens_around_it_a_request_has_the_bits_it_has_alone(
    limits: ServingLimits, drafter: str, *, lag: int, together: bool
) -> None:
    """Requests in random order, given up at random and asked again, in three rows."""
    requests = [*make_requests(8, tokens=16), *sharing(5)]
    service = server(limits, drafter=drafter, lag=lag, together=together)
    chance = random.Random(7)
    waiting = chance.sample(requests, len(requests))
    events: list[ServedEvent] = []
    retries = 6
    while waiting or not service.idle:
        for _ in range(chance.randint(0, 2)):
            if waiting:
                service.submit(waiting.pop())
        if retries and service.seated and chance.random() < 0.3:
            given_up = chance.choice([*service.seated.values(), *service.waiting]).request
            assert service.cancel(given_up.key)
            waiting.insert(0, given_up)
            retries -= 1
        events += service.advance()
    assert same(answers(events), alone(requests, together=together))
    assert service.statistics.given_up == 6
    if limits.prefix_tokens > 1000:
        assert service.statistics.cached > 0


def test_events_tell_the_life_of_a_request() -> None:
    request, other = make_requests(2, tokens=10)
    service = server()
    service.submit(request)
    events = finish(service)
    assert kinds(events, request.key) == ["seated", "begun", "finished"]
    emitted = [token for each in events for token in each.tokens]
    answer = answers(events)[request.key]
    assert tuple(emitted) == answer.token_ids
    service.submit(other)
    seated = finish(service)[0]
    assert (seated.happened, seated.row, seated.after) == ("seated", 0, request.key)
    assert not service.advance()


@pytest.mark.parametrize("lag", [0, 1])
@pytest.mark.parametrize("patience", [0, 1, 3, 5])
def test_a_request_is_given_up_in_any_state(lag: int, patience: int) -> None:
    """Waiting, being read, and running with a step in flight; the next in its row is as alone."""
    long, *rest = sharing(5, shared=90)
    service = server(lag=lag, rows=1)
    service.submit(long)
    events = [each for _ in range(patience) for each in service.advance()]
    assert service.cancel(long.key)
    assert not service.cancel(long.key)
    assert service.idle
    for request in rest:
        service.submit(request)
    events += finish(service)
    assert kinds(events, long.key)[-1:] == ["given up"]
    emitted = tuple(token for each in events if each.key == long.key for token in each.tokens)
    assert emitted == alone([long])[long.key].token_ids[: len(emitted)]
    assert same(answers(events), alone(rest))
    service.submit(long)
    assert same(answers(finish(service)), alone([long]))


@pytest.mark.parametrize("lag", [0, 1])
@pytest.mark.parametrize("drafter", ["none", "model"])
def test_a_preempted_request_goes_on_with_the_same_bits(drafter: str, *, lag: int) -> None:
    """Its output is computed again, and its penalties go on from the counts that they had."""
    requests = make_requests(6, tokens=60)
    service = server(ServingLimits(live_tokens=200), drafter=drafter, lag=lag)
    for request in requests:
        service.submit(request)
    events = finish(service)
    resumed = [each for each in events if each.happened == "begun" and each.recomputed]
    penalised = {each.key for each in requests if each.sampling.repetition_penalty != 1}
    assert penalised & {each.key for each in resumed}
    assert max(each.recomputed for each in resumed) > service.decoder.width
    assert same(answers(events), alone(requests))


def test_a_long_prompt_keeps_nobody_waiting() -> None:
    """Its chunks are read between steps: rows that run get tokens all the while."""
    long = sharing(1, shared=90)[0]
    short = make_requests(1, tokens=16)[0]
    service = server()
    service.submit(short)
    service.advance()
    service.submit(long)
    events = finish(service)
    begun = next(each.step for each in events if each.key == long.key and each.happened == "begun")
    before = [each for each in events if each.tokens and each.step < begun]
    assert len(before) >= len(long.prompt_ids) // 64
    assert same(answers(events), alone([short, long]))


def test_samples_of_one_prompt_read_it_once() -> None:
    first = msgspec.structs.replace(sharing(1, shared=96)[0], sampling=make_requests(2)[1].sampling)
    samples = [msgspec.structs.replace(first, key=f"{first.key}#{each}") for each in range(3)]
    service = server()
    for each in samples:
        service.submit(each)
    events = finish(service)
    tail = (len(first.prompt_ids) - 1) % 16
    assert service.statistics.read == len(first.prompt_ids) - 1 + 2 * tail
    assert same(answers(events), alone(samples))
    assert len({answer.token_ids for answer in answers(events).values()}) == 3


def test_what_it_cannot_serve_is_refused() -> None:
    request = make_requests(1)[0]

    def check(asked: Request) -> None:
        raise EngineError(f"no {asked.key}")

    service = server()
    service.submit(request)
    with pytest.raises(EngineError, match="being served"):
        service.submit(request)
    refusing = Server(service.decoder, ServingLimits(), check=check)
    with pytest.raises(EngineError, match="no test/0"):
        refusing.submit(request)
    assert refusing.idle
    with pytest.raises(EngineError, match="other work"):
        service.advance()


def test_a_new_service_knows_of_nothing_before() -> None:
    requests = sharing(3)
    service = server()
    for request in requests:
        service.submit(request)
    finish(service)
    again = Server(service.decoder, ServingLimits())
    again.submit(requests[0])
    events = finish(again)
    assert again.statistics.cached == 0
    assert bits(answers(events)[requests[0].key]) == bits(alone(requests[:1])[requests[0].key])
