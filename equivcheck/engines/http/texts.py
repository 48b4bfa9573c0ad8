"""Prompts as text and text as ids, by the pair's tokenizer: for servers that know no ids.

Which tokens a server emitted cannot be told from its text: the same text has one row of ids here.
"""

from __future__ import annotations

from collections.abc import Sequence

from equivcheck.core.errors import EngineError
from equivcheck.core.generation import FinishReason, Generation, Request
from equivcheck.engines.http.completions import Choice, Usage
from equivcheck.engines.http.dialect import PairWords

TRIAL = "a"
"""A prompt to try a server with."""


def prompt_text(request: Request, pair: PairWords) -> str:
    """Text of which the pair's tokenizer makes just the ids of the prompt.

    The server adds special tokens as the tokenizer does, so one that begins the prompt is left out
    where it comes of itself.

    Raises:
        EngineError: there is no such text: the ids are none that a tokenizer would choose.
    """
    ids = request.prompt_ids
    for kept in (ids, ids[1:]):
        text: str = pair.tokenizer.decode(
            list(kept), skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        if tuple(pair.tokenizer(text, verbose=False)["input_ids"]) == ids:
            return text
    raise EngineError(
        f"{request.key}: its prompt cannot be sent as text, of which the pair's tokenizer makes "
        f"other ids"
    )


def text_ids(text: str, pair: PairWords) -> tuple[int, ...] | None:
    """What the pair's tokenizer makes of a text; None: that is not the text any more."""
    ids = tuple(pair.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
    return ids if pair.detokenise(ids) == text else None


def text_answer(
    choice: Choice, request: Request, pair: PairWords, *, usage: Usage | None, seconds: float
) -> Generation:
    """An answer of text alone in this package's words.

    A server that stopped has met an end of text, or a stop string where the request has one: which
    of both is then not told.

    Raises:
        EngineError: there is no text, it cannot be said in ids, or a limit of the server's own
            ended it.
    """
    if choice.text is None:
        raise EngineError(f"the answer to {request.key} has neither text nor token ids")
    ids = text_ids(choice.text, pair)
    if ids is None:
        raise EngineError(
            f"the text of the answer to {request.key} does not come back from the ids that the "
            f"pair's tokenizer makes of it"
        )
    counted = usage.completion_tokens if usage else None
    reason: FinishReason = "length"
    if choice.finish_reason == "stop":
        reason = "stop" if request.stop else "eos"
    elif counted is not None and counted < request.max_new_tokens:
        raise EngineError(
            f"{request.key} ended at {counted} of {request.max_new_tokens} tokens, at a limit of "
            f"the server's own"
        )
    return Generation(
        key=request.key,
        token_ids=(*ids, *with_end(pair.eos_token_ids, reason)),
        finish_reason=reason,
        prompt_tokens=len(request.prompt_ids),
        total_seconds=seconds,
    )


def with_end(eos_token_ids: Sequence[int], reason: FinishReason) -> Sequence[int]:
    """The id that stands for whichever end of text it was; none where it was no end of text."""
    return eos_token_ids[:1] if reason == "eos" else ()
