"""Rules of length and stopping that ids show by themselves: a part of a bundle's script."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from equivcheck.pipeline.repeating.answers import neutral, stop_ids


def broken(ids: Sequence[int], request: dict[str, Any], facts: dict[str, Any]) -> str | None:
    """The first rule that an answer breaks; None: none of those that need no text."""
    sampling, most, ends = neutral(request), request["max_new_tokens"], stop_ids(request, facts)
    least, banned = sampling["min_new_tokens"], sampling["banned_tokens"]
    if len(ids) > most:
        return f"{len(ids)} tokens, {most} allowed"
    for place, token in enumerate(ids):
        if token in banned:
            return f"token {place} is id {token}, which is banned"
        if token in ends and place < least:
            return f"it stops at token {place}; no stop id before token {least}"
        if token in ends and place < len(ids) - 1:
            return f"it goes on behind stop id {token} at token {place}"
    if len(ids) < most and not request.get("stop") and (not ids or ids[-1] not in ends):
        return f"it ends after {len(ids)} tokens, by no stop id and {most} allowed"
    return None
