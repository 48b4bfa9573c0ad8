"""Turn a case into the token ids that both arms get.

The same ids go to every engine, so no engine's own tokenizing can differ. Nothing is ever cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from equivcheck.core.cases import Case, Message
from equivcheck.core.detokenise import detokeniser
from equivcheck.core.errors import SuiteError
from equivcheck.core.generation import Prompt


def encode(tokenizer: Any, case: Case) -> tuple[int, ...]:
    """The prompt of ``case`` as token ids, at least one.

    A raw prompt gets exactly the special tokens that the tokenizer's own convention adds (often
    a leading BOS, often none). Messages go through the tokenizer's chat template with the header
    of the answer appended, and with the case's tools and `chat_template_kwargs`. Token ids are
    taken as they are.

    Raises:
        SuiteError: the tokenizer has no chat template, or its template refuses the messages or
            passes over some of what they say; an id is outside the tokenizer's vocabulary; nothing
            is left to continue.
    """
    if case.token_ids is not None:
        token_ids = case.token_ids
    elif case.messages is not None:
        token_ids = _encode_messages(tokenizer, case)
    else:
        token_ids = tuple(tokenizer(case.prompt or "", verbose=False)["input_ids"])
    if not token_ids:
        raise SuiteError(f"case {case.id}: its prompt encodes to no token: nothing to continue")
    size = len(tokenizer)
    for index, token in enumerate(token_ids):
        if not 0 <= token < size:
            raise SuiteError(
                f"case {case.id}: token_ids[{index}] is {token}, outside the tokenizer's "
                f"vocabulary of {size}"
            )
    return token_ids


def encode_turns(tokenizer: Any, turns: Sequence[Case], answers: Sequence[Sequence[int]]) -> Prompt:
    """The prompt of the last of some turns, with the answers to those before it.

    Messages become one conversation, in which an answer is its text without special tokens, as a
    client sends it. Raw turns are put behind each other token by token, each after its answer.

    Args:
        tokenizer: of the pair.
        turns: of one session, from its first on.
        answers: output ids, one entry for each turn but the last.

    Raises:
        SuiteError: as `encode`.
    """
    *before, last = turns
    if last.messages is None:
        ids = encode(tokenizer, turns[0])
        for answer, turn in zip(answers, turns[1:], strict=True):
            ids = (*ids, *answer, *_more(tokenizer, turn))
        return Prompt(ids)
    detokenise, size = detokeniser(tokenizer), len(tokenizer)
    told: list[Message] = []
    for turn, answer in zip(before, answers, strict=True):
        # An engine may emit anything; what is no id has no text.
        text = detokenise([token for token in answer if 0 <= token < size])
        told += [*(turn.messages or ()), Message("assistant", text)]
    together = replace(last, messages=(*told, *last.messages))
    return Prompt(encode(tokenizer, together), together.conversation)


def _more(tokenizer: Any, case: Case) -> tuple[int, ...]:
    """Raw text or ids that stand behind others, without special tokens."""
    if case.token_ids is not None:
        return encode(tokenizer, case)
    ids = tokenizer(case.prompt or "", add_special_tokens=False, verbose=False)["input_ids"]
    return tuple(ids)


def _encode_messages(tokenizer: Any, case: Case) -> tuple[int, ...]:
    if not tokenizer.chat_template:
        raise SuiteError(
            f"case {case.id}: it has messages, but the pair's tokenizer has no chat template; "
            f"give a prompt instead"
        )
    turns = [_turn(message) for message in case.messages or ()]
    token_ids = _render(tokenizer, case, turns, tools=case.tools)
    if case.tools and token_ids == _render(tokenizer, case, turns, tools=()):
        raise SuiteError(f"case {case.id}: tools: the pair's chat template makes nothing of them")
    for at, turn in enumerate(turns):
        if turn["role"] in ("developer", "tool") or "tool_calls" in turn:
            _refuse_if_ignored(tokenizer, case, turns, at=at, token_ids=token_ids)
    return token_ids


def _turn(message: Message) -> dict[str, Any]:
    """A message as templates read it: absent keys are absent, and a text is always there."""
    turn: dict[str, Any] = {"role": message.role, "content": message.content or ""}
    if message.tool_calls:
        turn["tool_calls"] = list(message.tool_calls)
    if message.tool_call_id is not None:
        turn["tool_call_id"] = message.tool_call_id
    if message.name is not None:
        turn["name"] = message.name
    return turn


def _refuse_if_ignored(
    tokenizer: Any,
    case: Case,
    turns: list[dict[str, Any]],
    *,
    at: int,
    token_ids: tuple[int, ...],
) -> None:
    """Refuse a turn that a template passes over without a word, as some do with unknown roles.

    Raises:
        SuiteError: the prompt is the same with other words in that turn.
    """
    other = dict(turns[at], content=turns[at]["content"] + " (other)")
    if "tool_calls" in other:
        other = {"role": other["role"], "content": turns[at]["content"]}
    try:
        without = _render(tokenizer, case, [*turns[:at], other, *turns[at + 1 :]], tools=case.tools)
    except SuiteError:
        return  # It looks at the turn closely enough to refuse another.
    if without == token_ids:
        what = "tool_calls" if "tool_calls" in turns[at] else f"the role {turns[at]['role']!r}"
        raise SuiteError(
            f"case {case.id}: messages[{at}]: the pair's chat template makes nothing of {what}"
        )


def _render(
    tokenizer: Any,
    case: Case,
    turns: list[dict[str, Any]],
    *,
    tools: tuple[dict[str, Any], ...],
) -> tuple[int, ...]:
    import jinja2

    try:
        encoded = tokenizer.apply_chat_template(
            turns,
            tools=list(tools) or None,
            tokenize=True,
            add_generation_prompt=True,
            return_dict=True,
            **case.chat_template_kwargs,
        )
    except (jinja2.TemplateError, TypeError) as error:
        raise SuiteError(
            f"case {case.id}: the pair's chat template refuses its messages: {error}"
        ) from error
    return tuple(encoded["input_ids"])
