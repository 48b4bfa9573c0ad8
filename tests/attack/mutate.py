"""Seeded damage to a file: bits, bytes, tokens, numbers, lines, and values deep inside JSON."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Sequence
from typing import Any

TOKENS = (
    b"[" * 3000,
    b"{" * 3000,
    b'{"a":' * 500,
    b"]",
    b"}",
    b'"',
    b"\\",
    b"\x00" * 64,
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b"\\ud800",
    b"\n",
    b"\r\n",
    b"9" * 4400,
    b"-1",
    b"1e999",
    b"NaN",
    b"null",
    b"true",
    b"1" + b"0" * 400,
    b"../../etc/passwd",
    "\u202e\u009b[31m".encode(),
    b"\x1b]0;x\x07",
    b"a" * 70_000,
)
NUMBERS = (-1, 0, 2**31, 2**32 - 1, 2**63, 2**64, 10**8, 10**9, -(2**63), 10**300)
VALUES: tuple[Any, ...] = (
    *NUMBERS,
    1e308,
    -0.0,
    "",
    "\u202e\x1b[31m",
    "x" * 10_000,
    None,
    True,
    [],
    {},
    [[[]]],
    {"a": {}},
    [0] * 3000,
)
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?")
Way = Callable[[random.Random, bytes], bytes]


def damaged(chance: random.Random, content: bytes, *, ways: Sequence[Way] | None = None) -> bytes:
    """The content with one to three kinds of damage."""
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        content = chance.choice(ways or WAYS)(chance, content)
    return content


def _at(chance: random.Random, content: bytes) -> int:
    return chance.randrange(len(content) + 1)


def flip(chance: random.Random, content: bytes) -> bytes:
    """One bit."""
    if not content:
        return content
    at = chance.randrange(len(content))
    return content[:at] + bytes([content[at] ^ 1 << chance.randrange(8)]) + content[at + 1 :]


def cut(chance: random.Random, content: bytes) -> bytes:
    """A stretch goes."""
    start = _at(chance, content)
    return content[:start] + content[start + chance.choice((1, 2, 8, 64, 1000)) :]


def truncate(chance: random.Random, content: bytes) -> bytes:
    """The end goes."""
    return content[: _at(chance, content)]


def repeat(chance: random.Random, content: bytes) -> bytes:
    """A stretch is there twice, in another place."""
    start, to = _at(chance, content), _at(chance, content)
    return content[:to] + content[start : start + chance.choice((1, 8, 64, 1000))] + content[to:]


def put(chance: random.Random, content: bytes) -> bytes:
    """Something that parsers do not like."""
    at = _at(chance, content)
    return content[:at] + chance.choice(TOKENS) + content[at:]


def noise(chance: random.Random, content: bytes) -> bytes:
    """Random bytes over what is there."""
    at = _at(chance, content)
    drawn = chance.randbytes(chance.choice((1, 4, 8, 32)))
    return content[:at] + drawn + content[at + len(drawn) :]


def number(chance: random.Random, content: bytes) -> bytes:
    """Another number in the place of one."""
    found = list(_NUMBER.finditer(content))
    if not found:
        return content
    one = chance.choice(found)
    return content[: one.start()] + str(chance.choice(NUMBERS)).encode() + content[one.end() :]


def lines(chance: random.Random, content: bytes) -> bytes:
    """A line goes, is doubled or moves."""
    parts = content.splitlines(keepends=True)
    if len(parts) < 2:
        return content
    one, other = chance.randrange(len(parts)), chance.randrange(len(parts))
    line = parts.pop(one)
    return b"".join(
        chance.choice(
            (
                parts,
                [*parts[:other], line, *parts[other:]],
                [*parts[:one], line, *parts[one:other], line, *parts[other:]],
            )
        )
    )


def value(chance: random.Random, content: bytes) -> bytes:
    """Another value somewhere in a line of JSON, or in a file that is one document."""
    parts = content.splitlines(keepends=True)
    for at in chance.sample(range(len(parts)), min(3, len(parts))):
        try:
            record = json.loads(parts[at])
        except (ValueError, RecursionError):
            continue
        parts[at] = _dumped(_changed(chance, record)) + b"\n"
        return b"".join(parts)
    try:
        return _dumped(_changed(chance, json.loads(content)))
    except (ValueError, RecursionError):
        return content


def _changed(chance: random.Random, tree: Any) -> Any:
    places = list(_places(tree))
    if not places:
        return chance.choice(VALUES)
    inside, key = chance.choice(places)
    if isinstance(inside, dict) and chance.random() < 0.1:
        inside[chance.choice(("", "x" * 300, "\u202e", "type"))] = inside.pop(key)
    elif chance.random() < 0.15:
        del inside[key]
    else:
        inside[key] = chance.choice(VALUES)
    return tree


def _places(tree: Any) -> list[tuple[Any, Any]]:
    if isinstance(tree, dict):
        keys: Sequence[Any] = list(tree)
    elif isinstance(tree, list):
        keys = range(len(tree))
    else:
        return []
    found: list[tuple[Any, Any]] = [(tree, key) for key in keys]
    for key in keys:
        found += _places(tree[key])
    return found


def _dumped(tree: Any) -> bytes:
    return json.dumps(tree, ensure_ascii=False).encode("utf-8", "surrogatepass")


WAYS: tuple[Way, ...] = (
    flip, cut, truncate, repeat, put, noise, number, number, lines, value, value, value,
)  # fmt: skip
