"""All runs of one fault or control, one a seed: how many were caught, after how many tokens."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from msgspec import Struct

from equivcheck.fault_matrix.result import Result
from equivcheck.fault_matrix.share import Share

Unit = Literal["answered", "drawn"]
"""Tokens that the candidate answered, or that were drawn where a distribution is tested."""


class Spread(Struct, frozen=True):
    """Tokens to detection over seeds."""

    median: float
    least: int
    most: int

    def __str__(self) -> str:
        """``12 [4 to 40]``, or ``12`` where all are the same."""
        middle = f"{self.median:,.0f}"
        return middle if self.least == self.most else f"{middle} [{self.least:,} to {self.most:,}]"


class Runs(NamedTuple):
    """One fault or control under every seed that it was run with."""

    results: tuple[Result, ...]
    """By seed, the lowest first; at least one."""

    @property
    def first(self) -> Result:
        """The run that was asked most, and that stands for the fault where one has to."""
        return self.results[0]

    @property
    def caught(self) -> Share:
        """How many runs were caught; of a control, how many came out as they have to."""
        return Share(sum(result.caught for result in self.results), len(self.results))

    @property
    def accused(self) -> Share:
        """How many runs some check failed."""
        return Share(sum(result.accused for result in self.results), len(self.results))

    @property
    def always_caught(self) -> bool:
        """Whether every run was caught. A fault that is missed now and then is missed."""
        return self.caught.part == self.caught.whole

    @property
    def unit(self) -> Unit:
        """What its tokens are; the two differ by orders of magnitude."""
        return "drawn" if self.first.caught_by == "sampled" else "answered"

    @property
    def tokens(self) -> Spread | None:
        """Median tokens of the runs that were caught and know; None where there is none."""
        counts = [one.tokens for one in self.results if one.caught and one.tokens is not None]
        if not counts:
            return None
        return Spread(statistics.median(counts), min(counts), max(counts))

    def said_words(self) -> str:
        """``18 equivalent, 2 not put to the test``."""
        said = [result.said.value for result in self.results]
        return ", ".join(f"{said.count(word)} {word}" for word in dict.fromkeys(said))


def by_entry(results: Sequence[Result]) -> list[Runs]:
    """Results of one fault or control together, in the order in which they first come."""
    gathered: dict[str, list[Result]] = {}
    for result in results:
        gathered.setdefault(result.id, []).append(result)
    return [Runs(tuple(sorted(found, key=lambda one: one.seed))) for found in gathered.values()]


def faults_of(results: Sequence[Result]) -> list[Runs]:
    """Without the controls."""
    return [runs for runs in by_entry(results) if not runs.first.sound]


def controls_of(results: Sequence[Result]) -> list[Runs]:
    """Without the faults."""
    return [runs for runs in by_entry(results) if runs.first.sound]


def medians(faults: Sequence[Runs], unit: Unit) -> Iterator[float]:
    """Each fault's median tokens to detection, of those that are counted in a unit."""
    for runs in faults:
        if runs.unit == unit and (spread := runs.tokens) is not None:
            yield spread.median
