"""What schedules are written with: prompts in an order that a seed decides, and a tokenizer."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from equivcheck.fault_matrix.prompts import REPETITIVE, VARIED

ROWS = 8
"""Rows of a batch; every schedule has a multiple of as many cases."""
Encode = Callable[[str], Sequence[int]]


class Writer:
    """What a schedule is written with."""

    def __init__(self, *, seed: int, encode: Encode, eos: int) -> None:
        """Shuffle the prompts by `seed`."""
        self.encode, self.eos = encode, eos
        self.random = random.Random(seed)
        self.varied = self.random.sample(VARIED, len(VARIED))
        self.repetitive = self.random.sample(REPETITIVE, len(REPETITIVE))

    def ids(self, text: str) -> tuple[int, ...]:
        """Token ids of a text."""
        return tuple(self.encode(text))

    def filler(self, length: int) -> tuple[int, ...]:
        """A prompt of exactly so many tokens, some of it repetitive."""
        ids: list[int] = []
        while len(ids) < length:
            ids += self.ids(self.random.choice((*VARIED, *REPETITIVE)) + "\n")
        return tuple(ids[len(ids) - length :])
