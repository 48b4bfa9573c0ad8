"""Turn a case into the token ids that both arms get.

The same ids go to every engine, so no engine's own tokenizing can differ. Nothing is ever cut.
"""

from __future__ import annotations

from typing import Any

from equivcheck.core.cases import Case
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
