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


def encode(tokenizer: Any, case: Case) -> tuple[int, ...]:
    """The prompt of ``case`` as token ids, at least one.

    A raw prompt gets exactly the special tokens that the tokenizer's own convention adds (often
    a leading BOS, often none). Messages go through the tokenizer's chat template with the header
    of the answer appended. Token ids are taken as they are.

    Raises:
        SuiteError: the tokenizer has no chat template or its template refuses the messages; an id
            is outside the tokenizer's vocabulary; nothing is left to continue.
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


def encode_turns(
    tokenizer: Any, turns: Sequence[Case], answers: Sequence[Sequence[int]]
) -> tuple[int, ...]:
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
        return ids
    detokenise, size = detokeniser(tokenizer), len(tokenizer)
    told: list[Message] = []
    for turn, answer in zip(before, answers, strict=True):
        # An engine may emit anything; what is no id has no text.
        text = detokenise([token for token in answer if 0 <= token < size])
        told += [*(turn.messages or ()), Message("assistant", text)]
    return encode(tokenizer, replace(last, messages=(*told, *last.messages)))


def _more(tokenizer: Any, case: Case) -> tuple[int, ...]:
    """Raw text or ids that stand behind others, without special tokens."""
    if case.token_ids is not None:
        return encode(tokenizer, case)
    ids = tokenizer(case.prompt or "", add_special_tokens=False, verbose=False)["input_ids"]
    return tuple(ids)


def _encode_messages(tokenizer: Any, case: Case) -> tuple[int, ...]:
    import jinja2

    if not tokenizer.chat_template:
        raise SuiteError(
            f"case {case.id}: it has messages, but the pair's tokenizer has no chat template; "
            f"give a prompt instead"
        )
    turns = [{"role": turn.role, "content": turn.content} for turn in case.messages or ()]
    try:
        encoded = tokenizer.apply_chat_template(
            turns, tokenize=True, add_generation_prompt=True, return_dict=True
        )
    except jinja2.TemplateError as error:
        raise SuiteError(
            f"case {case.id}: the pair's chat template refuses its messages: {error}"
        ) from error
    return tuple(encoded["input_ids"])
