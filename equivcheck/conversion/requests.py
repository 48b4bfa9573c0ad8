"""Requests in the words of OpenAI's interface, and of the servers that extend it, to cases."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from equivcheck.conversion.drafts import Draft
from equivcheck.conversion.losses import LeftOutError, Losses, Taken
from equivcheck.conversion.messages import messages_of
from equivcheck.core.cases import MAX_NEW_TOKENS

_SAME = ("temperature", "top_p", "min_p", "repetition_penalty", "presence_penalty")
_SAMPLING = (*_SAME, "frequency_penalty", "logit_bias")
_CONSTRAINED = "it constrains which tokens may follow, and engines differ in how"
_SCORED = "every answer is scored by the pair's target"
_NO_TOKENS = "says nothing of which tokens are right"
WHY = {
    "model": "the pair is named by the command",
    "logprobs": _SCORED,
    "top_logprobs": _SCORED,
    "prompt_logprobs": _SCORED,
    "echo": _SCORED,
    "response_format": _CONSTRAINED,
    "structured_outputs": _CONSTRAINED,
    "guided_json": _CONSTRAINED,
    "guided_regex": _CONSTRAINED,
    "guided_choice": _CONSTRAINED,
    "guided_grammar": _CONSTRAINED,
    "tool_choice": _CONSTRAINED,
    "best_of": "it is a search over several answers",
    "use_beam_search": "it is a search over several answers",
    "reasoning_effort": "servers differ in what they make of it; see chat_template_kwargs",
    "response": "the engine under test writes its own answer",
} | dict.fromkeys(
    (
        *("stream", "stream_options", "user", "metadata", "store", "service_tier"),
        *("parallel_tool_calls", "request_id", "priority", "prompt_cache_key"),
    ),
    _NO_TOKENS,
)
_CHAT, _COMPLETIONS = "/chat/completions", "/completions"


def batch_line(record: Taken, losses: Losses) -> Iterator[Draft]:
    """A line of a batch file: ``custom_id``, ``method``, ``url``, ``body``."""
    name, url = str(record.take("custom_id") or ""), str(record.take("url"))
    record.take("method")
    if not url.endswith((_CHAT, _COMPLETIONS)):
        raise LeftOutError(f"url: {url[:60]} asks for no chat and no completion")
    body = record.inner("body")
    yield from drafts_of(body, losses, name=name)
    record.lose_rest(losses, WHY)


def logged(record: Taken, losses: Losses) -> Iterator[Draft]:
    """What a proxy logs: the request's body as ``request``, and the answer to it."""
    name = str(record.take("id", "request_id") or "")
    yield from drafts_of(record.inner("request"), losses, name=name)
    record.lose_rest(losses, WHY)


def plain(record: Taken, losses: Losses) -> Iterator[Draft]:
    """A request's body by itself, or no more of it than its messages."""
    name = str(record.take("id", "custom_id", "prompt_id", "question_id") or "")
    category = record.take("category")
    for draft in drafts_of(record, losses, name=name):
        yield draft._replace(category=str(category) if category else None)


def drafts_of(body: Taken, losses: Losses, *, name: str) -> Iterator[Draft]:
    """The cases that a request's body asks for: one for each prompt and each of its ``n``.

    Raises:
        LeftOutError: something in it cannot be asked.
    """
    extra = body.inner("extra_body")
    fields = settings_of(body, losses) | settings_of(extra, losses)
    number = body.take("n") or 1
    if not isinstance(number, int) or not 1 <= number <= 1024:
        raise LeftOutError("n: not a number of answers from 1 to 1,024")
    prompts = list(_prompts(body, losses))
    if number > 1:
        losses.changed("n", "a case for each answer that is asked for, with a seed of its own")
    extra.lose_rest(losses, WHY)
    body.lose_rest(losses, WHY)
    for at, prompt in enumerate(prompts):
        of_prompt = f"-p{at}" if len(prompts) > 1 else ""
        for copy in range(number):
            own = dict(fields)
            if "seed" in own:
                own["seed"] = (own["seed"] + copy) % 2**32
            of_copy = f"-n{copy}" if number > 1 else ""
            yield Draft(f"{name}{of_prompt}{of_copy}" if name else "", prompt | own)


def _prompts(body: Taken, losses: Losses) -> Iterator[dict[str, Any]]:
    given = body.take("messages")
    if given is not None:
        prompt: dict[str, Any] = {"messages": messages_of(given, losses)}
        if tools := body.take("tools"):
            choice = body.take("tool_choice")
            if choice not in (None, "auto"):
                losses.key("tool_choice", _CONSTRAINED)
            prompt["tools"] = tools
        if words := body.take("chat_template_kwargs"):
            prompt["chat_template_kwargs"] = words
        yield prompt
        return
    text = body.take("prompt")
    if isinstance(text, str):
        yield {"prompt": text}
    elif isinstance(text, list) and text and all(isinstance(token, int) for token in text):
        yield {"token_ids": text}
    elif isinstance(text, list) and text:
        for each in text:
            yield {"prompt": each} if isinstance(each, str) else {"token_ids": each}
    else:
        raise LeftOutError("neither messages nor a prompt in it")


def settings_of(body: Taken, losses: Losses) -> dict[str, Any]:
    """How to continue, in the words of a suite."""
    fields: dict[str, Any] = {}
    sampling = {name: value for name in _SAMPLING if (value := body.take(name)) is not None}
    if (least := body.take("min_tokens")) is not None:
        sampling["min_new_tokens"] = least
    if (kept := body.take("top_k")) is not None:
        if kept == -1:
            losses.changed("top_k: -1", "0, which keeps all tokens too")
        sampling["top_k"] = 0 if kept == -1 else kept
    if sampling:
        fields["sampling"] = sampling
    limit = body.take("max_completion_tokens", "max_tokens", "max_output_tokens", "max_new_tokens")
    if limit is not None:
        if isinstance(limit, int) and limit > MAX_NEW_TOKENS:
            losses.changed("max_tokens", f"{MAX_NEW_TOKENS:,}, the most that a case may ask for")
            limit = MAX_NEW_TOKENS
        fields["max_new_tokens"] = limit
    if (stop := body.take("stop")) is not None:
        fields["stop"] = [stop] if isinstance(stop, str) else stop
    if (ids := body.take("stop_token_ids")) is not None:
        fields["stop_token_ids"] = ids
    if body.take("ignore_eos"):
        fields["ignore_eos"] = True
    if (seed := body.take("seed")) is not None:
        if isinstance(seed, int) and not 0 <= seed < 2**32:
            losses.changed("seed", "its lowest 32 bits")
            seed %= 2**32
        fields["seed"] = seed
    return fields
