"""How a draw is called and what was asked for it: both follow from the case, the round and a seed.

Pure. Draws are not stored with their requests; whoever needs one makes it here again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from equivcheck.core.generation import ROUND_MARK, Request
from equivcheck.records.records import SAMPLED


class Draw(NamedTuple):
    """One asking of a case; rounds count from 1."""

    case: str
    round: int

    @property
    def key(self) -> str:
        """``workload/case#round``."""
        return f"{self.case}{ROUND_MARK}{self.round}"


def parse_draw(key: str) -> Draw:
    """Take the key of a draw apart.

    Raises:
        ValueError: it is no such key.
    """
    case, _, number = key.rpartition(ROUND_MARK)
    draw = Draw(case, int(number)) if number.isdecimal() else None
    if draw is None or draw.key != key or draw.round < 1:
        raise ValueError(f"{key!r} is not a case, {ROUND_MARK!r} and the number of a round")
    return draw


def drawn_request(request: Request, *, round: int, seed: int, arm: str = SAMPLED) -> Request:
    """What an engine is asked in a round; a seed that the case pins does not count here.

    Args:
        request: The case as the ordinary arms were asked.
        round: From 1.
        seed: `Header.draw_seed`.
        arm: Each arm draws from a stream of its own, for tests that compare independent draws.
    """
    key = Draw(request.key, round).key
    stream = key if arm == SAMPLED else f"{arm}\n{key}"
    return msgspec.structs.replace(request, key=key, seed=derive_seed(seed, stream))


def in_order(keys: Iterable[str], cases: Sequence[str]) -> list[str]:
    """Keys of draws in the order of asking: round by round, each in the order of ``cases``.

    Raises:
        ValueError: a key is not one of a draw of these cases.
    """
    places = {case: place for place, case in enumerate(cases)}

    def when(key: str) -> tuple[int, int]:
        draw = parse_draw(key)
        if draw.case not in places:
            raise ValueError(f"{draw.case!r} is not among the cases that are drawn")
        return draw.round, places[draw.case]

    return sorted(keys, key=when)


def derive_seed(seed: int, key: str) -> int:
    """A case's own seed, 32 bits: the same in every process and on every machine."""
    return int.from_bytes(hashlib.sha256(f"{seed}\n{key}".encode()).digest()[:4], "little")
