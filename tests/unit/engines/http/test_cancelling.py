"""Giving up at servers that were run against no real one: the connection is closed, and they see.

What becomes of the request inside such a server is not tested here.
"""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Callable
from typing import Any

import pytest

from equivcheck.capture.serve import ScheduleRun
from equivcheck.core.generation import Request
from equivcheck.core.service_schedule import Arrival, Schedule
from equivcheck.core.times import Delay, Patience, ServingLimits
from equivcheck.engines.http.engine import HttpEngine

from .stub import Reply, serving
from .test_by_documentation import FakeCompletions, FakeSglang

Page = Callable[[str, Any], Reply | None]
FIRST = {"one": 10, "two": 11}


def request(key: str) -> Request:
    return Request(key=key, prompt_ids=(FIRST[key], 20, 30), max_new_tokens=6, stop_token_ids=(9,))


class Slow:
    """Answers the request `one` once only when its client has left."""

    def __init__(self, page: Page, *, prompt: str) -> None:
        self.page, self.prompt = page, prompt
        self.left = threading.Event()
        self.here = threading.local()
        self.waited = False

    def __call__(self, path: str, body: Any) -> Reply | None:
        asked = (body or {}).get(self.prompt)
        if asked == [10, 20, 30] and not self.waited:
            self.waited = True
            self.here.connection.settimeout(5.0)
            # A closed connection reads as ended.
            if self.here.connection.recv(1, socket.MSG_PEEK) == b"":
                self.left.set()
        return self.page(path, body)


@pytest.mark.parametrize(
    ("page", "prompt", "dialect"),
    [(FakeSglang(), "input_ids", "sglang"), (FakeCompletions(), "prompt", "tensorrt-llm")],
)
def test_a_request_is_given_up_by_closing_its_connection(
    engine_at: Callable[..., HttpEngine],
    monkeypatch: pytest.MonkeyPatch,
    page: Page,
    prompt: str,
    dialect: str,
) -> None:
    slow = Slow(page, prompt=prompt)
    process = socketserver.ThreadingMixIn.process_request_thread

    def remember(server: Any, connection: socket.socket, address: Any) -> None:
        slow.here.connection = connection
        process(server, connection, address)

    monkeypatch.setattr("socketserver.ThreadingMixIn.process_request_thread", remember)
    leaves = Arrival(key="one", give_up_after=Patience(milliseconds=50), retry=Delay(step=2))
    schedule = Schedule(name="s", arrivals=(leaves, Arrival(key="two")))
    with serving(slow) as stub:
        engine = engine_at(stub.url)
        assert f"dialect={dialect}" in engine.capabilities.engine
        assert engine.capabilities.serves
        found = ScheduleRun(engine.serve(ServingLimits()), schedule, request).whole()
        assert slow.left.wait(5.0)
    happened = [each.happened for each in found.events if each.key == "one"]
    assert happened == ["begun", "given up", "begun", "tokens", "finished"]
    assert {key: each.token_ids for key, each in found.answers.items()} == {
        "one": (7, 8, 9),
        "two": (7, 8, 9),
    }
