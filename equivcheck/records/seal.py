"""The seal of a journal: every line ends in a digest of itself and of the seal before it.

So a line that is changed, removed, doubled or moved breaks the chain where it stands. It is no
signature: whoever writes all lines anew can seal them anew. Pure; `journal.py` reads and writes.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import NewType

Seal = NewType("Seal", bytes)
"""Hex digits of one line's digest; empty before the first line."""

START = Seal(b"")
UNSEALED = "unsealed: its lines carry no digests, so a later change would not be seen"
"""What every account says of a journal without seals."""
_BYTES = 8
_DIGITS = 2 * _BYTES
_FIELD = b',"seal":"'
_END = b'"}'
_LENGTH = len(_FIELD) + _DIGITS + len(_END)


def with_seal(text: bytes, *, before: Seal) -> tuple[bytes, Seal]:
    """A line with its seal as its last field, and that seal.

    Args:
        text: One JSON object without its line end.
        before: The seal of the line before.
    """
    body = text[:-1]
    seal = _digest(body, before)
    return body + _FIELD + seal + _END, seal


def is_sealed(line: bytes) -> bool:
    """Whether a line, with its line end, says that it has a seal, right or not."""
    return line.startswith(_FIELD, len(line) - _LENGTH - 1)


def seal_of(line: bytes, *, before: Seal) -> Seal | None:
    """The seal of a line, with its line end; None: it has none, or not the one it must have."""
    seal = _digest(memoryview(line)[: -_LENGTH - 1], before)
    return seal if line.endswith(_FIELD + seal + _END + b"\n") else None


def _digest(body: bytes | memoryview, before: Seal) -> Seal:
    """Digest of everything in front of the seal, without the closing brace."""
    digest = blake2b(before, digest_size=_BYTES)
    digest.update(body)
    return Seal(digest.hexdigest().encode())
