"""Whether the token ids in a tokenizer's files can be ids, before a library makes room for them.

What is no such file at all is left to the library that reads it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from equivcheck.core.errors import PairError
from equivcheck.core.escape import visible

HARMLESS = 2**20
"""Room for so many ids takes some megabytes."""


def check_token_ids(folder: Path) -> None:
    """Refuse ids that no vocabulary in these files could come to.

    A vocabulary takes more than a byte of its file for each id, so an id beyond the file's bytes
    is none of a list that is numbered through; room would be made for all ids below it.

    Raises:
        PairError: naming the file, the token and its id.
    """
    for name, entries in (
        ("tokenizer.json", _of_tokenizer),
        ("vocab.json", _of_table),
        ("added_tokens.json", _of_table),
        ("tokenizer_config.json", _of_settings),
    ):
        path = folder / name
        if not path.is_file():
            continue
        content = path.read_bytes()
        most = max(HARMLESS, len(content))
        for token, token_id in entries(_parsed(content)):
            if type(token_id) is int and token_id >= most:
                raise PairError(
                    f"{visible(str(path))}: token '{visible(str(token))}' has the id {token_id}, "
                    f"beyond any vocabulary that a file of {len(content)} bytes can hold"
                )


def _parsed(content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _of_table(found: dict[str, Any]) -> Iterator[tuple[Any, Any]]:
    yield from found.items()


def _of_tokenizer(found: dict[str, Any]) -> Iterator[tuple[Any, Any]]:
    model, added = found.get("model"), found.get("added_tokens")
    vocabulary = model.get("vocab") if isinstance(model, dict) else None
    # A list of pieces with scores numbers itself.
    if isinstance(vocabulary, dict):
        yield from vocabulary.items()
    for entry in added if isinstance(added, list) else ():
        if isinstance(entry, dict):
            yield entry.get("content"), entry.get("id")


def _of_settings(found: dict[str, Any]) -> Iterator[tuple[Any, Any]]:
    added = found.get("added_tokens_decoder")
    for token_id, entry in added.items() if isinstance(added, dict) else ():
        # Longer numbers are no ids, and Python would not read all of them.
        if token_id.isdecimal():
            content = entry.get("content") if isinstance(entry, dict) else entry
            yield content, int(token_id[:20])
