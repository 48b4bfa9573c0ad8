"""Outputs beside each other: the ones before in a group, and the last one for the same case.

State that lives as long as a run's scoring, so that outputs scored in parts meet the same
neighbours as outputs scored at once.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from equivcheck.core.generation import ROUND_MARK, Generation
from equivcheck.records.score_table import CROSSING_GROUP, CROSSING_POSITIONS, Twin
from equivcheck.scoring.trace import NOTHING


class Neighbours:
    """Remembers what later outputs have to be compared with."""

    def __init__(self) -> None:
        """Start before the first output."""
        self.group: list[tuple[int, ...]] = []
        """First tokens of the present group's outputs."""
        self.latest: dict[str, tuple[int, ...]] = {}
        """Case to its last output."""

    def earlier(self, generation: Generation) -> NDArray[np.int64]:
        """Distinct tokens of the group at each place, [tokens, `CROSSING_GROUP` - 1].

        Padded by `NOTHING`; empty beyond `CROSSING_POSITIONS`.
        """
        table = np.full((len(generation.token_ids), CROSSING_GROUP - 1), NOTHING, np.int64)
        for place in range(min(len(table), CROSSING_POSITIONS)):
            there = sorted({output[place] for output in self.group if place < len(output)})
            table[place, : len(there)] = there
        return table

    def twins(self, generation: Generation) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Each token's `Twin` and the twin's token, up to where the two part."""
        ours = generation.token_ids
        kinds = np.full(len(ours), Twin.NONE, np.uint8)
        tokens = np.full(len(ours), NOTHING, np.int64)
        for place, (own, other) in enumerate(zip(ours, self.of_case(generation), strict=False)):
            kinds[place] = Twin.EQUAL if own == other else Twin.DIFFERENT
            tokens[place] = other
            if own != other:
                break
        return kinds, tokens

    def of_case(self, generation: Generation) -> tuple[int, ...]:
        """The case's last output; empty where there is none."""
        return self.latest.get(case_of(generation.key), ())

    def add(self, generation: Generation) -> None:
        """Go on to the next output."""
        if len(self.group) == CROSSING_GROUP - 1:
            self.group = []
        else:
            self.group.append(generation.token_ids[:CROSSING_POSITIONS])
        self.latest[case_of(generation.key)] = generation.token_ids

    def recall(self, generations: Iterable[Generation]) -> None:
        """Go on to what follows these."""
        for generation in generations:
            self.add(generation)


def case_of(key: str) -> str:
    """The case that a draw's key belongs to."""
    return key.rpartition(ROUND_MARK)[0] or key
