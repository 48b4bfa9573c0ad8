"""Journals whose lines were changed by somebody who knows about seals."""

from __future__ import annotations

import re
from pathlib import Path

from equivcheck.records.seal import START, with_seal

_SEAL = re.compile(rb',"seal":"[0-9a-f]{16}"}$')


def bare_lines(path: Path) -> list[bytes]:
    """The lines as they were before they were sealed."""
    return [_SEAL.sub(b"}", line) for line in path.read_bytes().splitlines()]


def unseal(path: Path) -> None:
    """Make it a journal from before there were seals."""
    path.write_bytes(b"".join(line + b"\n" for line in bare_lines(path)))


def reseal(path: Path) -> None:
    """Seal all lines anew, as somebody can who rewrites the whole file."""
    lines, seal = [], START
    for line in bare_lines(path):
        sealed, seal = with_seal(line, before=seal)
        lines.append(sealed + b"\n")
    path.write_bytes(b"".join(lines))
