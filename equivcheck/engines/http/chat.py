"""`/v1/chat/completions`: messages go in, and the text of one message comes out.

The server makes the prompt, by a chat template of its own. Whether that is the pair's shows in the
number of tokens that it says it read.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from equivcheck.core.cases import Conversation, Message
from equivcheck.core.errors import EngineError
from equivcheck.core.generation import Request
from equivcheck.engines.http.completions import Choice, CompletionsResponse, Usage, common_body

CHAT = "/v1/chat/completions"
BY_CHAT = ("raw_prompt", "tools")
"""What has no messages, and what makes servers cut calls of tools out of the text."""


class ChatMessage(Struct, frozen=True, kw_only=True):
    """What was said, and what the server took out of it."""

    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[Any] | None = None


class ChatChoice(Struct, frozen=True, kw_only=True):
    """The one answer."""

    message: ChatMessage
    finish_reason: str | None = None


class ChatAnswer(Struct, frozen=True, kw_only=True):
    """An answer of ``/v1/chat/completions``, as far as servers agree."""

    choices: tuple[ChatChoice, ...]
    usage: Usage | None = None


def chat_body(request: Request, model: str) -> dict[str, Any]:
    """A request as its messages.

    Raises:
        EngineError: it has none.
    """
    said = request.conversation
    if said is None:
        raise EngineError(f"{request.key}: its prompt is raw, and a chat endpoint takes messages")
    body = common_body(request, model) | {
        "messages": [_as_sent(message) for message in said.messages],
        "stop": request.stop or None,
    }
    del body["prompt"]
    if said.chat_template_kwargs:
        body["chat_template_kwargs"] = said.chat_template_kwargs
    return body


def with_conversation(request: Request, text: str) -> Request:
    """The same request by a user who says `text`."""
    said = Conversation(messages=(Message("user", text),))
    return msgspec.structs.replace(request, conversation=said)


def as_completion(answer: ChatAnswer, request: Request, *, url: str) -> CompletionsResponse:
    """The answer as `/v1/completions` would have given it.

    Raises:
        EngineError: the server took reasoning or calls of tools out of the text.
    """
    for choice in answer.choices:
        said = choice.message
        if said.reasoning_content or said.reasoning or said.tool_calls:
            what = "calls of tools" if said.tool_calls else "reasoning"
            raise EngineError(
                f"{url}: {request.key}: the server cuts {what} out of the text, so that what the "
                f"model wrote cannot be compared; start it without that parser"
            )
    return CompletionsResponse(
        choices=tuple(
            Choice(text=choice.message.content, finish_reason=choice.finish_reason)
            for choice in answer.choices
        ),
        usage=answer.usage,
    )


def _as_sent(message: Message) -> dict[str, Any]:
    """A message in OpenAI's words, whose calls hold their arguments as JSON text."""
    sent: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_call_id is not None:
        sent["tool_call_id"] = message.tool_call_id
    if message.name is not None:
        sent["name"] = message.name
    if message.tool_calls:
        sent["tool_calls"] = [_call(each) for each in message.tool_calls]
    return sent


def _call(call: dict[str, Any]) -> dict[str, Any]:
    function = call.get("function", {})
    arguments = function.get("arguments", {})
    if isinstance(arguments, str):
        return call
    text = msgspec.json.encode(arguments).decode()
    return call | {"function": function | {"arguments": text}}
