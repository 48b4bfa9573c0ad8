"""What 429, 500, silence, broken connections and a key in an error come to."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from equivcheck.core.errors import EngineError, EngineGoneError
from equivcheck.engines.http.wire import BrokeError, Wire

from .stub import Handle, Reply, serving

WireTo = Callable[..., Wire]


def failing(times: int, reply: Reply) -> Handle:
    left = [times]

    def handle(path: str, body: object) -> Reply:
        left[0] -= 1
        return reply if left[0] >= 0 else Reply({"ok": True})

    return handle


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again(wire_to: WireTo, status: int) -> None:
    with serving(failing(2, Reply({"error": "later"}, status))) as stub:
        assert wire_to(stub.url).get("/x").status == 200
        assert len(stub.seen) == 3


def test_it_waits_as_long_as_the_server_asks(wire_to: WireTo) -> None:
    with serving(failing(1, Reply({}, 429, {"Retry-After": "0.3"}))) as stub:
        started = time.perf_counter()
        wire_to(stub.url).get("/x")
        assert time.perf_counter() - started >= 0.3


def test_a_server_that_asks_for_an_hour_ends_the_run(wire_to: WireTo) -> None:
    with (
        serving(failing(1, Reply({}, 429, {"Retry-After": "3600"}))) as stub,
        pytest.raises(EngineGoneError, match="left alone for 3600 s"),
    ):
        wire_to(stub.url).get("/x")


def test_an_answer_is_taken_whatever_its_headers_ask(wire_to: WireTo) -> None:
    with serving(failing(1, Reply({"ok": 1}, 200, {"Retry-After": "3600"}))) as stub:
        assert wire_to(stub.url).get("/x").body == b'{"ok": 1}'


def test_a_server_that_stays_busy_ends_the_run(wire_to: WireTo) -> None:
    busy = Reply({"error": {"message": "quota spent"}}, 429)
    with (
        serving(failing(99, busy)) as stub,
        pytest.raises(EngineGoneError, match=r"status 429: quota spent \(asked 3 times\)"),
    ):
        wire_to(stub.url).get("/x")


def test_a_server_that_keeps_breaking_fails_the_request(wire_to: WireTo) -> None:
    with (
        serving(failing(99, Reply("<html>oops</html>", 500))) as stub,
        pytest.raises(BrokeError, match=r"status 500: <html>oops</html> \(asked 3 times\)"),
    ):
        wire_to(stub.url).post("/x", {})


def test_another_status_is_the_callers(wire_to: WireTo) -> None:
    with serving(failing(99, Reply({"error": {"message": "no min_p"}}, 400))) as stub:
        wire = wire_to(stub.url)
        assert wire.said(wire.get("/x")) == "status 400: no min_p"
        assert len(stub.seen) == 1


def test_an_answer_that_breaks_off_is_asked_for_again(wire_to: WireTo) -> None:
    with serving(failing(1, Reply({"long": "answer"}, cut=5))) as stub:
        assert wire_to(stub.url).get("/x").body == b'{"ok": true}'


def test_one_that_always_breaks_off_fails_the_request(wire_to: WireTo) -> None:
    with (
        serving(failing(99, Reply({"long": "answer"}, cut=5))) as stub,
        pytest.raises(BrokeError, match="broke off its answer"),
    ):
        wire_to(stub.url).get("/x")


def test_silence_ends_the_run_and_names_the_option(wire_to: WireTo) -> None:
    with (
        serving(failing(99, Reply({}, after=1.0))) as stub,
        pytest.raises(EngineGoneError, match=r"no answer within 0\.2 s; say timeout=SECONDS"),
    ):
        wire_to(stub.url, seconds=0.2).get("/x")


def test_nobody_at_the_address_ends_the_run(wire_to: WireTo) -> None:
    with serving(failing(0, Reply())) as stub:
        url = stub.url
    with pytest.raises(EngineGoneError, match="cannot be reached"):
        wire_to(url, retries=1).get("/x")


def test_what_is_too_long_is_not_read(wire_to: WireTo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("equivcheck.engines.http.wire.MOST_BYTES", 100)
    with (
        serving(failing(99, Reply("x" * 1000))) as stub,
        pytest.raises(EngineError, match="more than 100 bytes"),
    ):
        wire_to(stub.url).get("/x")


def test_the_key_is_sent_and_never_shown(wire_to: WireTo) -> None:
    refusal = Reply({"error": {"message": "wrong key: s3cret\x1b[2J"}}, 401)
    with serving(failing(99, refusal)) as stub:
        wire = wire_to(stub.url, key="s3cret")
        said = wire.said(wire.get("/x"))
        assert stub.headers[0]["Authorization"] == "Bearer s3cret"
    assert said == r"status 401: wrong key: ***\x1b[2J"
