"""In which order and company requests are put to an engine: for those who ask, and for those who
later say what an answer's neighbours were. Pure.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

Item = TypeVar("Item")


def chunked(items: Sequence[Item], *, size: int) -> tuple[tuple[Item, ...], ...]:
    """Items in chunks of ``size``; the last may be smaller."""
    return tuple(tuple(items[start : start + size]) for start in range(0, len(items), size))


def by_wave(items: Iterable[Item], *, wave: Callable[[Item], int]) -> list[list[Item]]:
    """Items of each wave, in order; waves in order, empty ones left out."""
    waves: dict[int, list[Item]] = {}
    for item in items:
        waves.setdefault(wave(item), []).append(item)
    return [waves[number] for number in sorted(waves)]


def in_turns(
    items: Iterable[Item], *, size: int, wave: Callable[[Item], int]
) -> tuple[tuple[Item, ...], ...]:
    """Items in chunks of ``size``, wave by wave: no chunk holds items of two."""
    return tuple(
        chunk for together in by_wave(items, wave=wave) for chunk in chunked(together, size=size)
    )


def mixed_up(
    wanted: Sequence[Item], others: Sequence[Item], *, seed: int, company: int
) -> tuple[Item, ...]:
    """The wanted items in another order, with up to ``company`` of the others among them."""
    generator = random.Random(seed)
    mixed = [*wanted, *generator.sample(others, min(company, len(others)))]
    generator.shuffle(mixed)
    return tuple(mixed)


def company_of(batch_size: int) -> int:
    """How many requests beside those wanted are mixed into the arm `shuffled`."""
    return batch_size // 2
