"""Servers of OpenAI's API that know text alone: what they are asked, and what is made of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from equivcheck.core.cases import Sampling
from equivcheck.core.errors import EngineError
from equivcheck.core.generation import Request
from equivcheck.engines.http.dialect import PairWords, ServerOptions
from equivcheck.engines.http.openai import OpenaiDialect
from equivcheck.engines.http.wire import Wire

from .stub import EOS, Reply, serving

WireTo = Callable[..., Wire]
BOS = 1
NOTHING_SAID = ServerOptions(None, None, None)
REQUEST = Request(key="code/a", prompt_ids=(BOS, 104, 105), max_new_tokens=6)


class Words:
    """An id a letter, but `ab` is one; it begins a prompt with `BOS`, and knows no capitals."""

    def __call__(
        self, text: str, *, add_special_tokens: bool = True, **_: Any
    ) -> dict[str, list[int]]:
        ids = [ord(letter) for letter in text.lower().replace("ab", "\u00ab")]
        return {"input_ids": [BOS, *ids] if add_special_tokens else ids}

    def decode(
        self, token_ids: Sequence[int], *, skip_special_tokens: bool = True, **_: Any
    ) -> str:
        special = {BOS: "<s>", EOS: "</s>"}
        pieces = [
            ("" if skip_special_tokens else special[token]) if token in special else chr(token)
            for token in token_ids
        ]
        return "".join(pieces).replace("\u00ab", "ab")


class FakeText:
    """Pages of a server that takes and gives text."""

    text: str | None = "cab"
    finish = "stop"
    tokens = 6
    ids: list[int] | None = None
    takes_ids = False
    prompt_tokens = 3

    def __call__(self, path: str, body: Any) -> Reply | None:
        if path == "/v1/models":
            return Reply({"data": [{"id": "m", "object": "model"}]})
        if path != "/v1/completions":
            return None
        if not self.takes_ids and not isinstance(body["prompt"], str):
            return Reply({"error": {"message": "prompt has to be a string"}}, 400)
        choice: dict[str, Any] = {"index": 0, "text": self.text, "finish_reason": self.finish}
        if self.ids is not None:
            choice["token_ids"] = self.ids
        usage = {"prompt_tokens": self.prompt_tokens, "completion_tokens": self.tokens}
        return Reply({"choices": [choice], "usage": usage})


@pytest.fixture
def words() -> PairWords:
    tokenizer = Words()
    return PairWords((EOS, 9), 50_000, tokenizer.decode, chr, tokenizer)


def test_text_goes_in_and_its_ids_come_out(wire_to: WireTo, words: PairWords) -> None:
    with serving(FakeText()) as stub:
        dialect = OpenaiDialect(wire_to(stub.url), words, NOTHING_SAID)
        told = dialect.open()
        answer = dialect.answer(REQUEST)
        sent = stub.asked("/v1/completions")[-1]
    assert told.text_alone
    assert "logit_bias" in told.refuses
    assert any("text and no token ids" in note for note in told.notes)
    # The server begins the prompt as the tokenizer does, so nothing of that is sent.
    assert sent["prompt"] == "hi"
    assert "return_token_ids" not in sent
    assert (answer.token_ids, answer.finish_reason) == ((ord("c"), 0xAB, EOS), "eos")


@pytest.mark.parametrize(("asked", "text_alone"), [(False, False), (True, True)])
def test_a_server_with_ids_is_asked_for_text_only_if_that_is_said(
    wire_to: WireTo, words: PairWords, asked: bool, text_alone: bool
) -> None:
    fake = FakeText()
    fake.takes_ids, fake.ids = True, [7]
    with serving(fake) as stub:
        said = NOTHING_SAID._replace(text=asked)
        assert OpenaiDialect(wire_to(stub.url), words, said).open().text_alone is text_alone


def test_an_end_behind_stop_strings_is_not_told(wire_to: WireTo, words: PairWords) -> None:
    request = Request(key="a", prompt_ids=REQUEST.prompt_ids, max_new_tokens=6, stop=("z",))
    with serving(FakeText()) as stub:
        dialect = OpenaiDialect(wire_to(stub.url), words, NOTHING_SAID)
        dialect.open()
        answer = dialect.answer(request)
        sent = stub.asked("/v1/completions")[-1]
    assert sent["stop"] == ["z"]
    assert (answer.token_ids, answer.finish_reason) == ((ord("c"), 0xAB), "stop")


def test_a_limit_leaves_no_end_behind(wire_to: WireTo, words: PairWords) -> None:
    fake = FakeText()
    fake.finish = "length"
    with serving(fake) as stub:
        dialect = OpenaiDialect(wire_to(stub.url), words, NOTHING_SAID)
        dialect.open()
        answer = dialect.answer(REQUEST)
    assert (answer.token_ids, answer.finish_reason) == ((ord("c"), 0xAB), "length")


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"finish": "length", "tokens": 5}, "ended at 5 of 6 tokens, at a limit of the server's"),
        ({"text": None}, "has neither text nor token ids"),
        ({"text": "CAB"}, "does not come back from the ids"),
        ({"prompt_tokens": 4}, "has 3 tokens, and the server read 4"),
        ({"finish": "content_filter"}, "ended by 'content_filter'"),
    ],
)
def test_what_a_text_may_not_be(
    wire_to: WireTo, words: PairWords, more: dict[str, Any], told: str
) -> None:
    fake = FakeText()
    with serving(fake) as stub:
        dialect = OpenaiDialect(wire_to(stub.url), words, NOTHING_SAID)
        dialect.open()
        for name, value in more.items():
            setattr(fake, name, value)
        with pytest.raises(EngineError, match=told):
            dialect.answer(REQUEST)


def test_a_prompt_that_no_text_gives_is_not_asked(wire_to: WireTo, words: PairWords) -> None:
    # Two ids where the tokenizer makes one of their text.
    request = Request(key="a", prompt_ids=(BOS, ord("a"), ord("b")), max_new_tokens=6)
    with serving(FakeText()) as stub:
        dialect = OpenaiDialect(wire_to(stub.url), words, NOTHING_SAID)
        dialect.open()
        with pytest.raises(EngineError, match="a: its prompt cannot be sent as text"):
            dialect.answer(request)


def test_neither_text_nor_ids_is_refused(wire_to: WireTo, words: PairWords) -> None:
    fake = FakeText()
    fake.text = None
    with serving(fake) as stub, pytest.raises(EngineError, match="neither text nor token ids"):
        OpenaiDialect(wire_to(stub.url), words, NOTHING_SAID).open()


def test_all_else_is_said_in_its_words(wire_to: WireTo, words: PairWords) -> None:
    distribution = Sampling(temperature=0.7, top_p=0.9, presence_penalty=0.5)
    request = Request(
        key="a", prompt_ids=REQUEST.prompt_ids, max_new_tokens=6, sampling=distribution
    )
    with serving(FakeText()) as stub:
        dialect = OpenaiDialect(wire_to(stub.url), words, NOTHING_SAID)
        dialect.open()
        dialect.answer(request)
        sent = stub.asked("/v1/completions")[-1]
    assert (sent["temperature"], sent["top_p"], sent["presence_penalty"]) == (0.7, 0.9, 0.5)
    assert sent["max_tokens"] == 6
