"""Messages as other tools write them, to those of a suite: parts of content, tools, answers."""

from __future__ import annotations

from typing import Any

import msgspec

from equivcheck.conversion.losses import LeftOutError, Losses, Taken

_TEXTS = ("text", "input_text", "output_text")
_ANSWER = "the engine under test writes its own"


def messages_of(given: Any, losses: Losses) -> list[dict[str, Any]]:
    """The conversation up to where an answer is asked for, as keys of `Message`.

    Raises:
        LeftOutError: a part of it is no text, or there is nothing to answer.
    """
    if not isinstance(given, list) or not all(isinstance(turn, dict) for turn in given):
        raise LeftOutError("messages: not a list of messages")
    turns = [_message(turn, losses) for turn in given]
    if turns and turns[-1]["role"] == "assistant":
        losses.key("the last answer", _ANSWER)
        while turns and turns[-1]["role"] == "assistant":
            turns.pop()
    if not turns:
        raise LeftOutError("messages: no turn that asks for an answer")
    return turns


def _message(given: dict[str, Any], losses: Losses) -> dict[str, Any]:
    taken = Taken(given, within="messages.")
    turn: dict[str, Any] = {"role": taken.take("role")}
    content = _content(taken.take("content"), losses)
    calls = taken.take("tool_calls")
    if calls:
        turn["tool_calls"] = _calls(calls)
    if content is not None or not calls:
        turn["content"] = content or ""
    for name in ("tool_call_id", "name"):
        if (value := taken.take(name)) is not None:
            turn[name] = value
    taken.lose_rest(losses)
    return turn


def _content(given: Any, losses: Losses) -> str | None:
    if given is None or isinstance(given, str):
        return given
    if isinstance(given, dict):
        # Of a tool: templates write it as JSON, and so do the servers.
        return msgspec.json.encode(given).decode()
    if not isinstance(given, list):
        raise LeftOutError("messages: content: neither text nor a list of parts")
    texts = []
    for part in given:
        kind = part.get("type", "text") if isinstance(part, dict) else None
        if isinstance(part, str):
            texts.append(part)
        elif kind in _TEXTS and isinstance(part.get("text"), str):
            texts.append(part["text"])
        else:
            raise LeftOutError(f"messages: content: has a part of type {str(kind)[:30]!r}, no text")
    if len(texts) > 1:
        losses.changed("content in parts", "joined by line ends, as vLLM joins them")
    return "\n".join(texts)


def _calls(given: Any) -> list[dict[str, Any]]:
    """Calls of tools, their arguments as the object that templates expect.

    Raises:
        LeftOutError: they are no calls.
    """
    try:
        calls = []
        for call in given:
            function = dict(call["function"])
            if isinstance(function.get("arguments"), str):
                function["arguments"] = msgspec.json.decode(function["arguments"] or "{}")
            calls.append({**call, "function": function})
        return calls
    except (KeyError, TypeError, msgspec.DecodeError):
        raise LeftOutError("messages: tool_calls: no function with arguments as JSON") from None
