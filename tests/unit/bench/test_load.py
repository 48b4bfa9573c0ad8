"""Requests that come at times of their own, by a clock that moves only when it is told to."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from equivcheck.bench.load import (
    HostTimes,
    ThreadResult,
    load_of,
    refuse_unless_loadable,
    serve,
    stream,
    under_load,
)
from equivcheck.core.errors import EngineError
from equivcheck.core.generation import Generation, Request
from equivcheck.core.serving import Emission, ServedEvent, ServingLimits, TimedAnswer
from tests.unit.make import make_capabilities

STEP = 1.0


class Clock:
    """Stands still between what a test lets happen."""

    def __init__(self) -> None:
        self.moment = 100.0
        self.slept: list[float] = []

    def now(self) -> float:
        return self.moment

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.moment += seconds


def asked_for(*keys: str, tokens: int = 3) -> list[Request]:
    return [Request(key=key, prompt_ids=(1, 2), max_new_tokens=tokens) for key in keys]


def answer(request: Request) -> Generation:
    return Generation(
        key=request.key,
        token_ids=(7,) * request.max_new_tokens,
        finish_reason="length",
        prompt_tokens=len(request.prompt_ids),
    )


class Service:
    """One row: two steps a request, of one token and of the rest; each takes a second."""

    by_clock = False

    def __init__(self, clock: Clock, *, stuck: bool = False) -> None:
        self.clock, self.stuck = clock, stuck
        self.waiting: list[Request] = []
        self.begun: set[str] = set()
        self.submitted: list[tuple[float, str]] = []

    def submit(self, request: Request) -> None:
        self.submitted.append((self.clock.moment - 100.0, request.key))
        self.waiting.append(request)

    def cancel(self, key: str) -> bool:
        raise NotImplementedError

    @property
    def idle(self) -> bool:
        return not self.waiting

    def advance(self) -> Sequence[ServedEvent]:
        self.clock.moment += STEP
        first = self.waiting[0]
        if self.stuck:
            return ()
        came = ServedEvent(step=1, key=first.key, happened="tokens", tokens=(7,))
        if first.key not in self.begun:
            self.begun.add(first.key)
            return (came,)
        self.waiting.pop(0)
        rest = msgspec.structs.replace(came, tokens=(7,) * (first.max_new_tokens - 1))
        done = ServedEvent(step=1, key=first.key, happened="finished", generation=answer(first))
        return (rest, done)


def test_a_service_is_asked_when_requests_come_and_late_where_it_is_in_a_step() -> None:
    clock = Clock()
    service = Service(clock)
    found = serve(service, asked_for("a", "b", "c"), (0.0, 1.5, 10.0), clock=clock)
    assert service.submitted == [(0.0, "a"), (2.0, "b"), (10.0, "c")]
    # Nobody is there from 4 s on, and the service is not made to step for nothing.
    assert clock.slept == [6.0]
    a, b, c = (found[key].load for key in "abc")
    assert a is not None
    assert a.emissions == (Emission(seconds=1.0, tokens=1), Emission(seconds=2.0, tokens=2))
    assert (a.at, a.asked, a.finished) == (0.0, 0.0, 2.0)
    # From when it came, and not from when the service was told.
    assert b is not None
    assert (b.at, b.asked, b.ttft, b.finished) == (1.5, 0.5, 1.5, 2.5)
    assert c is not None
    assert (c.at, c.asked, c.ttft, c.finished) == (10.0, 0.0, 1.0, 2.0)
    assert all(each.load and each.load.wrong(length=3) is None for each in found.values())


def test_a_burst_waits_for_the_row() -> None:
    clock = Clock()
    found = serve(Service(clock), asked_for("a", "b", "c"), (0.0, 0.0, 0.0), clock=clock)
    assert [found[key].load.ttft for key in "abc"] == [1.0, 3.0, 5.0]  # type: ignore[union-attr]


def test_a_service_that_never_ends_is_not_waited_for() -> None:
    clock = Clock()
    with pytest.raises(EngineError, match="has not come to an end with 0 answers"):
        serve(Service(clock, stuck=True), asked_for("a"), (0.0,), clock=clock)


class Remote:
    """Several threads ask it; each answer takes two seconds of its own time."""

    def __init__(self, clock: Clock, *, breaks: str | None = None) -> None:
        self.clock, self.breaks = clock, breaks
        self.capabilities = make_capabilities(engine="remote")
        self.asked: list[str] = []
        self.together = threading.Barrier(2, timeout=30)

    def generate(self, requests: Sequence[Request]) -> Sequence[Generation]:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError

    def ask_timed(self, request: Request) -> TimedAnswer:
        self.asked.append(request.key)
        if request.key == self.breaks:
            raise EngineError("out of memory")
        if request.key.startswith("pair"):
            self.together.wait()
        now = self.clock.now()
        emissions = (Emission(seconds=now + 1, tokens=1), Emission(seconds=now + 2, tokens=2))
        return TimedAnswer(answer(request), emissions, now + 2)


def test_requests_are_under_way_together_and_count_from_when_they_came() -> None:
    clock = Clock()
    remote = Remote(clock)
    # Each waits for the other: one after the other they would never end.
    found = stream(remote, asked_for("pair/a", "pair/b"), (0.0, 0.0), clock=clock)
    assert remote.asked in (["pair/a", "pair/b"], ["pair/b", "pair/a"])
    for each in found.values():
        assert each.load is not None
        assert (each.load.asked, each.load.ttft, each.load.finished) == (0.0, 1.0, 2.0)


def test_a_request_is_sent_when_it_comes() -> None:
    clock = Clock()
    found = stream(Remote(clock), asked_for("a", "b"), (0.0, 4.0), clock=clock)
    assert clock.slept == [4.0]
    assert found["b"].load is not None
    assert found["b"].load.at == 4.0
    assert found["b"].load.ttft == 1.0


def test_nothing_more_is_asked_of_an_engine_that_broke() -> None:
    class Patient(Clock):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            time.sleep(0.005)

    clock = Patient()
    remote = Remote(clock, breaks="a")
    keys = ["a", *(f"later/{at}" for at in range(400))]
    with pytest.raises(EngineError, match=r"^arm far broke: out of memory"):
        under_load(remote, asked_for(*keys), tuple(range(401)), arm="far", clock=clock)  # type: ignore[arg-type]
    assert len(remote.asked) < len(keys)


@given(st.floats(0, 1e7), st.floats(0, 1e4))
def test_no_request_is_asked_before_it_came(began: float, due: float) -> None:
    moment = began + due
    while moment - began < due:  # What is waited for.
        moment = math.nextafter(moment, math.inf)
    answered = TimedAnswer(answer(asked_for("a")[0]), (), moment)
    found = load_of(ThreadResult(moment, answered), began=began, due=due)
    assert found.asked >= 0
    assert found.finished >= 0


def test_an_engine_that_takes_only_lists_is_refused() -> None:
    class Lists:
        capabilities = make_capabilities(engine="lists")

    with pytest.raises(EngineError, match="arm slow: its engine takes no request while it answers"):
        refuse_unless_loadable(Lists(), arm="slow")  # type: ignore[arg-type]
    refuse_unless_loadable(Remote(Clock()), arm="far")  # type: ignore[arg-type]


def test_a_service_is_begun_anew_for_each_run() -> None:
    clock = Clock()
    begun: list[ServingLimits] = []

    class Serves:
        capabilities = make_capabilities(engine="serves", serves=True)

        def serve(self, limits: ServingLimits) -> Service:
            begun.append(limits)
            return Service(clock)

    for _ in range(2):
        found = under_load(Serves(), asked_for("a", "b"), (0.0, 0.0), arm="near", clock=clock)  # type: ignore[arg-type]
        assert [each.generation.key for each in found] == ["a", "b"]
    assert begun == [ServingLimits()] * 2


def test_the_host_has_a_clock() -> None:
    times = HostTimes()
    before = times.now()
    times.sleep(0)
    assert times.now() >= before
