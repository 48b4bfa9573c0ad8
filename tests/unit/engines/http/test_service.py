"""A server under a schedule: a request is given up by closing its connection, and no other's."""

from __future__ import annotations

import socket
import socketserver
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from equivcheck.capture.serve import ScheduleRun
from equivcheck.core.cases import Sampling
from equivcheck.core.errors import EngineError
from equivcheck.core.generation import Request
from equivcheck.core.service_schedule import Arrival, Schedule, Served
from equivcheck.core.times import Arrives, Delay, Patience, ServingLimits
from equivcheck.engines.http.engine import HttpEngine

from .stub import FakeVllm, Reply, Stub, serving

Opened = Callable[..., HttpEngine]
KEYS = ("one", "two", "three")


def request(key: str) -> Request:
    return Request(key=key, prompt_ids=(10 + KEYS.index(key), 20, 30), max_new_tokens=6)


def served(engine: HttpEngine, *arrivals: Arrival) -> Served:
    service = engine.serve(ServingLimits())
    return ScheduleRun(service, Schedule(name="s", arrivals=arrivals), request).whole()


class Slow(FakeVllm):
    """Takes its time for the first request, once, and looks whether the client is there."""

    def __init__(self) -> None:
        super().__init__()
        self.left = threading.Event()
        self.asked = 0

    def complete(self, body: Any) -> Reply:
        if body["prompt"][0] == 10 and len(body["prompt"]) == 3:
            self.asked += 1
            if self.asked == 1:
                self.wait_for_the_client_to_leave()
        return super().complete(body)

    def wait_for_the_client_to_leave(self) -> None:
        """A closed connection reads as ended."""
        (connection,) = self.connections()
        connection.settimeout(5.0)
        if connection.recv(1, socket.MSG_PEEK) == b"":
            self.left.set()

    def connections(self) -> list[socket.socket]:
        raise NotImplementedError


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Slow:
    """It sees the connection of the request that its thread is answering."""
    found = Slow()
    here = threading.local()
    process = socketserver.ThreadingMixIn.process_request_thread

    def remember(server: Any, connection: socket.socket, address: Any) -> None:
        here.connection = connection
        process(server, connection, address)

    monkeypatch.setattr("socketserver.ThreadingMixIn.process_request_thread", remember)
    monkeypatch.setattr(found, "connections", lambda: [here.connection])
    return found


def test_the_server_sees_that_a_client_has_left_and_others_are_answered(
    slow: Slow, engine_at: Opened
) -> None:
    with serving(slow) as stub:
        engine = engine_at(stub.url)
        found = served(
            engine,
            Arrival(key="one", give_up_after=Patience(milliseconds=50), retry=Delay(step=2)),
            Arrival(key="two"),
            Arrival(key="three", arrives=Arrives(step=1), after=("one",)),
        )
        assert slow.left.wait(5.0)
        assert engine.capabilities.serves
    happened = [(each.key, each.happened) for each in found.events if each.key == "one"]
    assert happened == [
        ("one", "begun"),
        ("one", "given up"),
        ("one", "begun"),
        ("one", "tokens"),
        ("one", "finished"),
    ]
    assert found.answers["one"].token_ids == (11, 21, 31, 11, 21, 31)
    assert found.answers["two"].token_ids[0] == 12
    order = [each.key for each in found.of("finished")]
    assert order.index("one") < order.index("three")


def test_what_is_given_up_for_good_has_no_answer(slow: Slow, engine_at: Opened) -> None:
    with serving(slow) as stub:
        gone = Arrival(key="one", give_up_after=Patience(milliseconds=20))
        found = served(engine_at(stub.url), gone, Arrival(key="two"))
        assert slow.left.wait(5.0)
    assert found.answers.keys() == {"two"}
    assert [each.key for each in found.of("given up")] == ["one"]


def test_a_request_that_the_server_refuses_ends_the_service(engine_at: Opened) -> None:
    class Refuses(FakeVllm):
        def complete(self, body: Any) -> Reply:
            if len(body["prompt"]) == 3:
                return Reply({"error": {"message": "not today"}}, 400)
            return super().complete(body)

    with serving(Refuses()) as stub, pytest.raises(EngineError, match="not today"):
        served(engine_at(stub.url), Arrival(key="one"))


def test_what_cannot_be_served_as_asked_is_not_asked(engine_at: Opened) -> None:
    def asked(stub: Stub) -> int:
        return len(stub.asked("/v1/completions"))

    with serving(FakeVllm()) as stub:
        service = engine_at(stub.url).serve(ServingLimits())
        before = asked(stub)
        drawn = Request(
            key="one",
            prompt_ids=(60_000,),
            max_new_tokens=4,
            sampling=Sampling(temperature=1.0),
        )
        with pytest.raises(EngineError, match="outside the vocabulary"):
            service.submit(drawn)
        assert (service.idle, asked(stub)) == (True, before)


def test_another_service_gives_up_what_the_last_was_asked(slow: Slow, engine_at: Opened) -> None:
    with serving(slow) as stub:
        engine = engine_at(stub.url)
        first = engine.serve(ServingLimits())
        first.submit(request("one"))
        time.sleep(0.05)
        engine.serve(ServingLimits())
        assert slow.left.wait(5.0)
        assert first.idle
