"""Servers that are asked by messages: what they are sent, and what is made of their answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from equivcheck.core.cases import Conversation, Message
from equivcheck.core.errors import EngineError
from equivcheck.core.generation import Request
from equivcheck.core.refusals import lacking
from equivcheck.engines.http.dialect import PairWords, ServerOptions
from equivcheck.engines.http.openai import OpenaiDialect
from equivcheck.engines.http.wire import Wire

from .stub import EOS, Reply, serving
from .test_texts import BOS, Words

WireTo = Callable[..., Wire]
BY_CHAT = ServerOptions(None, None, None, chat=True)
CALL = {"type": "function", "id": "c1", "function": {"name": "add", "arguments": {"a": 1}}}
SAID = Conversation(
    (
        Message("user", "hi"),
        Message("assistant", None, tool_calls=(CALL,)),
        Message("tool", "2", tool_call_id="c1", name="add"),
    ),
    chat_template_kwargs={"enable_thinking": False},
)
REQUEST = Request(
    key="chat/a", prompt_ids=(BOS, 104, 105), max_new_tokens=6, stop=("z",), conversation=SAID
)


class FakeChat:
    """Pages of a server that knows nothing but messages."""

    def __init__(self, **message: Any) -> None:
        self.message = {"role": "assistant", "content": "cab"} | message
        self.prompt_tokens = 3

    def __call__(self, path: str, body: Any) -> Reply | None:
        if path == "/v1/models":
            return Reply({"data": [{"id": "m", "object": "model"}]})
        if path != "/v1/chat/completions":
            return None
        choice = {"index": 0, "message": self.message, "finish_reason": "stop"}
        usage = {"prompt_tokens": self.prompt_tokens, "completion_tokens": 4}
        return Reply({"choices": [choice], "usage": usage})


@pytest.fixture
def words() -> PairWords:
    tokenizer = Words()
    return PairWords((EOS, 9), 50_000, tokenizer.decode, chr, tokenizer)


def test_messages_go_in_as_openai_writes_them(wire_to: WireTo, words: PairWords) -> None:
    with serving(FakeChat()) as stub:
        dialect = OpenaiDialect(wire_to(stub.url), words, BY_CHAT)
        told = dialect.open()
        answer = dialect.answer(REQUEST)
        trial, sent = stub.asked("/v1/chat/completions")
    assert told.text_alone
    assert trial["messages"] == [{"role": "user", "content": "a"}]
    assert sent["messages"] == [
        {"role": "user", "content": "hi"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [CALL | {"function": {"name": "add", "arguments": '{"a":1}'}}],
        },
        {"role": "tool", "content": "2", "tool_call_id": "c1", "name": "add"},
    ]
    assert sent["chat_template_kwargs"] == {"enable_thinking": False}
    assert (sent["max_tokens"], sent["stop"], sent["temperature"]) == (6, ["z"], 0.0)
    assert "prompt" not in sent
    assert answer.token_ids == (ord("c"), 0xAB)


def test_what_has_no_messages_is_left_out(wire_to: WireTo, words: PairWords) -> None:
    raw = Request(key="a", prompt_ids=(1,), max_new_tokens=2)
    tools = Conversation(SAID.messages, tools=({"type": "function"},))
    with serving(FakeChat()) as stub:
        dialect = OpenaiDialect(wire_to(stub.url), words, BY_CHAT)
        told = dialect.open()
        with pytest.raises(EngineError, match="a: its prompt is raw, and a chat endpoint takes"):
            dialect.answer(raw)
    assert lacking(told, raw) == ("raw_prompt",)
    asked = Request(key="a", prompt_ids=(1,), max_new_tokens=2, conversation=tools)
    assert lacking(told, asked) == ("tools",)
    assert lacking(told, REQUEST) == ()


@pytest.mark.parametrize(
    ("message", "what"),
    [
        ({"reasoning_content": "hm"}, "reasoning"),
        ({"reasoning": "hm"}, "reasoning"),
        ({"tool_calls": [CALL]}, "calls of tools"),
    ],
)
def test_text_that_the_server_cut_is_not_compared(
    wire_to: WireTo, words: PairWords, message: dict[str, Any], what: str
) -> None:
    with serving(FakeChat(**message)) as stub:
        dialect = OpenaiDialect(wire_to(stub.url), words, BY_CHAT)
        with pytest.raises(EngineError, match=f"the server cuts {what} out of the text"):
            dialect.open()


def test_another_template_is_refused(wire_to: WireTo, words: PairWords) -> None:
    fake = FakeChat()
    fake.prompt_tokens = 4
    with serving(fake) as stub:
        dialect = OpenaiDialect(wire_to(stub.url), words, BY_CHAT)
        dialect.open()
        with pytest.raises(EngineError, match="has 3 tokens, and the server read 4"):
            dialect.answer(REQUEST)
