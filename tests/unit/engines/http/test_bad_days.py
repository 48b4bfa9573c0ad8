"""Servers that die, change, lie or mix things up: one clear error each, and answers are kept."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import Any

import pytest

from equivcheck.core.cases import Sampling
from equivcheck.core.errors import EngineError, EngineGoneError
from equivcheck.core.generation import Generation, Request
from equivcheck.engines.http.engine import HttpEngine

from .stub import FakeVllm, Reply, serving

Opened = Callable[..., HttpEngine]
REQUESTS = [
    Request(key=f"code/{place}", prompt_ids=(10 + place, 20, 30), max_new_tokens=6)
    for place in range(4)
]


def take(
    engine: HttpEngine, requests: list[Request] | None = None
) -> tuple[dict[str, Generation], EngineError | None]:
    """What came, and what ended it."""
    came: dict[str, Generation] = {}
    try:
        for answer in engine.generate(requests or REQUESTS):
            came[answer.key] = answer
    except EngineError as error:
        return came, error
    return came, None


def asked_for(body: Any) -> int:
    """Which of the requests it is; -1: a trial."""
    place: int = body["prompt"][0] - 10
    return place if len(body["prompt"]) == 3 else -1


def test_a_good_day(engine_at: Opened) -> None:
    with serving(FakeVllm()) as stub:
        came, error = take(engine_at(stub.url))
    assert error is None
    assert came.keys() == {request.key for request in REQUESTS}
    assert came["code/2"].token_ids == (13, 21, 31, 13, 21, 31)


def test_as_many_are_under_way_as_a_batch_has(engine_at: Opened) -> None:
    together = threading.Barrier(4, timeout=4)

    class Waits(FakeVllm):
        def complete(self, body: Any) -> Reply:
            if asked_for(body) >= 0:
                together.wait()
            return super().complete(body)

    with serving(Waits()) as stub:
        assert take(engine_at(stub.url))[1] is None


def test_answers_in_another_order_belong_to_their_requests(engine_at: Opened) -> None:
    class Backwards(FakeVllm):
        def complete(self, body: Any) -> Reply:
            later = (4 - asked_for(body)) * 0.05 if asked_for(body) >= 0 else 0.0
            return super().complete(body)._replace(after=later)

    with serving(Backwards()) as stub:
        came, _ = take(engine_at(stub.url))
    assert list(came) == ["code/3", "code/2", "code/1", "code/0"]
    assert came["code/0"].token_ids[0] == 11


def test_swapped_answers_are_none(engine_at: Opened) -> None:
    class Swaps(FakeVllm):
        def complete(self, body: Any) -> Reply:
            if asked_for(body) == 1:
                body = body | {"prompt": [12, 20, 30]}
            return super().complete(body)

    with serving(Swaps()) as stub:
        came, error = take(engine_at(stub.url))
    assert "the answer to code/1 is one to another prompt" in str(error)
    assert came.keys() == {"code/0", "code/2", "code/3"}


def test_a_server_that_is_killed_ends_the_run(engine_at: Opened) -> None:
    class Dies(FakeVllm):
        def complete(self, body: Any) -> Reply:
            if asked_for(body) >= 2:
                threading.Thread(target=stub.stop).start()
                return super().complete(body)._replace(cut=9, after=0.1)
            return super().complete(body)

    with serving(Dies()) as stub:
        engine = engine_at(stub.url, batch=1)
        came, error = take(engine)
    assert isinstance(error, EngineGoneError)
    assert "cannot be reached" in str(error)
    assert came.keys() == {"code/0", "code/1"}


def test_a_server_that_breaks_on_everything_is_given_up(engine_at: Opened) -> None:
    class Broken(FakeVllm):
        def complete(self, body: Any) -> Reply:
            if asked_for(body) >= 0:
                return Reply({"error": {"message": "EngineDeadError"}}, 500)
            return super().complete(body)

    with serving(Broken()) as stub:
        came, error = take(engine_at(stub.url, retries=0))
    assert came == {}
    assert isinstance(error, EngineGoneError)
    assert re.search("broke on [34] requests in a row; the last: .*EngineDeadError", str(error))


def test_one_bad_request_costs_no_other_its_answer(engine_at: Opened) -> None:
    class Crashes(FakeVllm):
        def complete(self, body: Any) -> Reply:
            return Reply("{}", 500) if asked_for(body) == 1 else super().complete(body)

    with serving(Crashes()) as stub:
        came, error = take(engine_at(stub.url, retries=0))
    assert came.keys() == {"code/0", "code/2", "code/3"}
    assert not isinstance(error, EngineGoneError)


@pytest.mark.parametrize("body", ["{", "[]", '{"choices": []}', '{"choices": [{}]}', "\xff"])
def test_garbage_is_no_answer(engine_at: Opened, body: str) -> None:
    class Garbles(FakeVllm):
        def complete(self, asked: Any) -> Reply:
            return Reply(body) if asked_for(asked) == 0 else super().complete(asked)

    with serving(Garbles()) as stub:
        came, error = take(engine_at(stub.url))
    assert error is not None
    assert came.keys() == {"code/1", "code/2", "code/3"}


def test_counts_that_the_server_does_not_bear_out_are_no_answer(engine_at: Opened) -> None:
    class Boasts(FakeVllm):
        def metrics(self) -> str:
            self.accepted = 0
            return super().metrics()

    with serving(Boasts()) as stub:
        came, error = take(engine_at(stub.url))
    assert "say that 12 tokens were accepted, and its counters rose by 0" in str(error)
    assert len(came) == 3


def test_counters_that_go_back_end_the_run(engine_at: Opened) -> None:
    class Restarts(FakeVllm):
        def complete(self, body: Any) -> Reply:
            reply = super().complete(body)
            if asked_for(body) == 3:
                self.drafted = self.accepted = self.steps = 0
            return reply

    with serving(Restarts()) as stub:
        came, error = take(engine_at(stub.url, batch=1))
    assert isinstance(error, EngineGoneError)
    assert "counters went back" in str(error)
    assert len(came) == 3


def test_another_model_under_the_name_ends_the_run_before_its_answer(engine_at: Opened) -> None:
    class Changes(FakeVllm):
        def complete(self, body: Any) -> Reply:
            if asked_for(body) == 2:
                self.root = "folder/other"
            return super().complete(body)

    with serving(Changes()) as stub:
        came, error = take(engine_at(stub.url, batch=1))
    assert isinstance(error, EngineGoneError)
    assert "its root is folder/other, and was folder/model" in str(error)
    assert came.keys() == {"code/0", "code/1"}


def test_two_models_behind_one_name_end_the_run(engine_at: Opened) -> None:
    class Alternates(FakeVllm):
        def __call__(self, path: str, body: Any) -> Reply | None:
            if path == "/v1/models":
                self.root = "folder/b" if self.root == "folder/a" else "folder/a"
            return super().__call__(path, body)

    with serving(Alternates()) as stub:
        came, error = take(engine_at(stub.url))
    assert isinstance(error, EngineGoneError)
    assert len(came) < 4


def test_a_model_that_is_gone_ends_the_run(engine_at: Opened) -> None:
    class Unloads(FakeVllm):
        gone = False

        def __call__(self, path: str, body: Any) -> Reply | None:
            if path == "/v1/models" and self.gone:
                return Reply({"data": []})
            self.gone = self.gone or (bool(body) and asked_for(body) == 0)
            return super().__call__(path, body)

    with serving(Unloads()) as stub:
        _, error = take(engine_at(stub.url, batch=1))
    assert isinstance(error, EngineGoneError)
    assert "the model 'm' is gone" in str(error)


def test_text_without_ids_is_refused_at_the_door(engine_at: Opened) -> None:
    class Texts(FakeVllm):
        def complete(self, body: Any) -> Reply:
            reply = super().complete(body)
            del reply.body["choices"][0]["token_ids"]
            return reply

    with serving(Texts()) as stub, pytest.raises(EngineError, match="text and no token ids"):
        engine_at(stub.url)


def test_what_it_cannot_serve_comes_behind_what_it_can(engine_at: Opened) -> None:
    hot = Request(
        key="code/hot", prompt_ids=(1, 2), max_new_tokens=4, sampling=Sampling(temperature=5.0)
    )
    with serving(FakeVllm()) as stub:
        came, error = take(engine_at(stub.url), [hot, *REQUESTS])
        assert len(came) == 4
        assert len(stub.asked("/v1/completions")) == 7  # with three trials
    assert "cannot serve code/hot: vllm: it does not serve temperature=5" in str(error)
