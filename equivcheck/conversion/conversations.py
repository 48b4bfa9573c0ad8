"""Conversations and logs of other harnesses: ShareGPT, lm-evaluation-harness, inspect."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import msgspec

from equivcheck.conversion.drafts import Draft
from equivcheck.conversion.losses import LeftOutError, Losses, Taken
from equivcheck.conversion.messages import messages_of
from equivcheck.conversion.questions import last_number
from equivcheck.conversion.requests import settings_of
from equivcheck.conversion.turns import asked_in_turns

_SYSTEM, _USER, _ANSWERS = {"system"}, {"human", "user"}, {"gpt", "assistant", "chatgpt", "bard"}
_ITS_ANSWER = "the engine under test writes its own answer"
_MOST_TOKENS = 256
_SCORED = "how an answer was scored; a case has a grader of its own or none"
_OF_ANSWERS = dict.fromkeys(("resps", "filtered_resps", "output", "messages"), _ITS_ANSWER)
_OF_ANSWERS |= dict.fromkeys(("model_usage", "total_time", "working_time"), _ITS_ANSWER)
_OF_ANSWERS |= dict.fromkeys(("metrics", "filter", "scores", "score", "target"), _SCORED)
_OF_ANSWERS |= dict.fromkeys(("exact_match", "acc", "choices"), _SCORED)
_NO_MEANING = (
    *("doc_hash", "prompt_hash", "target_hash", "uuid"),
    *("events", "events_data", "attachments", "store"),
)


def sharegpt(record: Taken, losses: Losses) -> Iterator[Draft]:
    """Turns of people, who are answered in between by the engine under test."""
    name = str(record.take("id") or "")
    turns: list[str] = []
    answers: list[str] = []
    system = None
    for part in record.take("conversations"):
        said = part if isinstance(part, dict) else {}
        who, text = said.get("from", said.get("role")), said.get("value", said.get("content"))
        if not isinstance(text, str):
            raise LeftOutError("conversations: a turn without text")
        if who in _SYSTEM and not turns and system is None:
            system = text
        elif who in _USER and len(turns) == len(answers):
            turns.append(text)
        elif who in _ANSWERS and len(turns) == len(answers) + 1:
            answers.append(text)
        elif who in _ANSWERS and not turns:
            losses.key("an answer before the first turn", "nothing was asked yet")
        else:
            raise LeftOutError(f"conversations: a turn of {str(who)[:30]!r} out of turn")
    if not turns:
        raise LeftOutError("conversations: nobody asks anything")
    if len(answers) == len(turns):
        losses.key("the last answer", _ITS_ANSWER)
    record.lose_rest(losses)
    yield from asked_in_turns(turns, answers, losses, name=name, system=system)


def lm_eval(record: Taken, losses: Losses) -> Iterator[Draft]:
    """A sample of ``--log_samples``: what was asked, and until when."""
    name = f"doc-{record.take('doc_id')}"
    doc, target = record.take("doc"), record.take("target")
    asked = list(_arguments(record.take("arguments")))
    grader = _of_gsm8k(doc)
    if target is not None and grader is None:
        losses.key("target", _OF_ANSWERS["target"])
    _lose_answers(record, losses)
    for at, (prompt, how) in enumerate(asked):
        if not isinstance(how, dict):
            raise LeftOutError("arguments: asks for the likelihood of a given text, not for a text")
        fields = _prompt(prompt, losses) | _until(Taken(how, within="arguments."), losses)
        yield Draft(
            f"{name}-{at}" if len(asked) > 1 else name,
            fields | ({"grader": grader} if grader else {}),
        )


def _arguments(given: Any) -> Iterator[tuple[Any, Any]]:
    """Prompt and settings of each request, in both forms that there have been."""
    if isinstance(given, dict):
        for each in given.values():
            yield each.get("arg_0"), each.get("arg_1")
    elif isinstance(given, list):
        for each in given:
            yield each[0], each[1] if len(each) > 1 else None


def _prompt(given: Any, losses: Losses) -> dict[str, Any]:
    """Text, or messages, which servers of chats are sent as JSON in a text."""
    if isinstance(given, str) and given.startswith("[{"):
        with suppress(msgspec.DecodeError):
            given = msgspec.json.decode(given)
    if isinstance(given, str):
        return {"prompt": given}
    return {"messages": messages_of(given, losses)}


def _until(how: Taken, losses: Losses) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if stops := how.take("until"):
        fields["stop"] = [stops] if isinstance(stops, str) else [stop for stop in stops if stop]
    if (limit := how.take("max_gen_toks", "max_new_tokens", "max_tokens")) is not None:
        fields["max_new_tokens"] = limit
    else:
        losses.changed("no max_gen_toks", f"{_MOST_TOKENS}, the harness's default")
        fields["max_new_tokens"] = _MOST_TOKENS
    drawn = how.take("do_sample")
    sampling = {
        name: value
        for name in ("temperature", "top_p", "top_k", "min_p")
        if (value := how.take(name)) is not None
    }
    if sampling and (drawn or sampling.get("temperature")):
        fields["sampling"] = sampling
    how.lose_rest(losses)
    return fields


def _of_gsm8k(doc: Any) -> dict[str, str] | None:
    answer = doc.get("answer") if isinstance(doc, dict) and "question" in doc else None
    return last_number(answer) if isinstance(answer, str) and "####" in answer else None


def inspect(record: Taken, losses: Losses) -> Iterator[Draft]:
    """A sample of an inspect log: its messages up to the model's first answer."""
    name, epoch = str(record.take("id") or ""), record.take("epoch")
    if epoch not in (None, 1):
        raise LeftOutError("another epoch of a sample that is there")
    given, history = record.take("input"), record.take("messages")
    how = record.inner("equivcheck.config")
    tools = record.take("tools")
    if tools:
        losses.key("tools", "inspect calls them itself, between answers")
    before: list[Any] = []
    for message in history or ():
        if isinstance(message, dict) and message.get("role") == "assistant":
            break
        before.append(message)
    if before:
        fields: dict[str, Any] = {"messages": [*_without_ids(before, losses)]}
        if len(history) > len(before) + 1:
            losses.key("messages after the first answer", "they follow on the engine's own answer")
    elif isinstance(given, str):
        fields = {"messages": [{"role": "user", "content": given}]}
    else:
        fields = {"messages": [*_without_ids(given, losses)]}
    _lose_answers(record, losses)
    yield Draft(name, fields | _of_config(how, losses))


def _without_ids(messages: list[Any], losses: Losses) -> list[dict[str, Any]]:
    """inspect gives each message an id and says where it is from, which no template reads."""
    kept = [
        {key: value for key, value in turn.items() if key not in ("id", "source")}
        if isinstance(turn, dict)
        else turn
        for turn in messages
    ]
    return messages_of(kept, losses)


def _of_config(how: Taken, losses: Losses) -> dict[str, Any]:
    fields = settings_of(how, losses)
    how.take("max_connections", "max_retries", "timeout", "attempt_timeout", "max_samples")
    how.lose_rest(losses)
    return fields


def _lose_answers(record: Taken, losses: Losses) -> None:
    record.take(*_NO_MEANING)
    record.lose_rest(losses, _OF_ANSWERS)
