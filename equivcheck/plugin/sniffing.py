"""Tell a suite from any other ``*.jsonl`` file by its first line, without reading the rest.

A file that means to be a suite but has a broken header counts as one, so that it becomes an error
and does not silently go untested. Standard library only: this runs in other people's sessions.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

MOST_BYTES = 64 * 1024
"""Read of a first line; a suite's header is far shorter."""

_KEY = b'"equivcheck"'
_OPENING = re.compile(rb'\s*\{\s*"equivcheck"\s*:')
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def is_suite(path: Path) -> bool:
    """Whether the first line is, or clearly tries to be, an object with the key equivcheck."""
    try:
        with path.open("rb") as file:
            line = file.readline(MOST_BYTES).removeprefix(_BYTE_ORDER_MARK)
    except OSError:
        return False
    if _OPENING.match(line):
        return True
    if _KEY not in line:
        return False
    try:
        header = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(header, dict) and "equivcheck" in header
