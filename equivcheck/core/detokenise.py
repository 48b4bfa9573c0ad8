"""From output ids to text, and where in it a stop string is complete. Text is never compared.

One convention for every arm: the whole output is decoded at once, special tokens left out, spaces
untouched. Knows a tokenizer only by its `decode`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Any

Detokenise = Callable[[Sequence[int]], str]


def detokeniser(tokenizer: Any) -> Detokenise:
    """How output ids become text under a transformers tokenizer."""

    def detokenise(token_ids: Sequence[int]) -> str:
        text: str = tokenizer.decode(
            list(token_ids), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text

    return detokenise


def stop_completed_at(
    detokenise: Detokenise, token_ids: Sequence[int], stop: Sequence[str]
) -> int | None:
    """The 0-based output index at which a stop string is first complete; None: at no token.

    Searches by halves: an output that holds a stop string goes on holding it when it grows. A
    character whose bytes are spread over several tokens is complete at the last of them.
    """

    def complete(length: int) -> bool:
        text = detokenise(token_ids[:length])
        return any(string in text for string in stop)

    if not stop or not complete(len(token_ids)):
        return None
    return bisect_left(range(1, len(token_ids) + 1), True, key=complete)


def stop_began_at(
    detokenise: Detokenise, token_ids: Sequence[int], stop: Sequence[str], *, completed_at: int
) -> int:
    """The 0-based output index of the token in which the stop string begins that is complete first.

    Args:
        detokenise: From ids to text.
        token_ids: The output.
        stop: The stop strings.
        completed_at: Where one of them is complete, as `stop_completed_at` says.
    """
    text = detokenise(token_ids[: completed_at + 1])
    found = [(at + len(string), at) for string in stop if (at := text.find(string)) >= 0]
    start = min(found)[1]

    def begun(length: int) -> bool:
        return len(detokenise(token_ids[:length])) > start

    return bisect_left(range(1, completed_at + 1), True, key=begun)
