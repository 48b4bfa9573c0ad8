"""The turns of a point: which requests are put to every arm together, and when they come. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from equivcheck.bench.arrivals import times_of
from equivcheck.bench.prompts import at_point
from equivcheck.core.generation import Request
from equivcheck.metrics.records import AnswerKey, BenchHeader

Chunk = tuple[Request, ...]


class MeasuredChunk(NamedTuple):
    """One chunk, to be put to every arm, once in each repeat."""

    workload: str
    chunk: int
    repeat: int
    requests: Chunk
    times: tuple[float, ...] = ()
    """At which they come, in a run under load; empty: all are asked together."""


def turns_of(
    header: BenchHeader, requests: Mapping[str, Sequence[Request]], *, point: int
) -> list[MeasuredChunk]:
    """All turns of a point, workload by workload."""
    chunks = at_point(requests, place := header.settings.points[point])

    def times(run: str) -> tuple[float, ...]:
        return times_of(place.arrivals, run=run) if place.arrivals else ()

    return [
        MeasuredChunk(workload, chunk, repeat, asked, times(f"{workload}/{chunk}/{repeat}"))
        for workload, of_workload in chunks.items()
        for chunk, asked in enumerate(of_workload)
        for repeat in range(header.settings.repeats)
    ]


def questions(header: BenchHeader, turn: MeasuredChunk, point: int) -> list[AnswerKey]:
    """What a turn asks of all arms."""
    return [
        AnswerKey(point, arm.name, request.key, turn.repeat)
        for arm in header.settings.arms
        for request in turn.requests
    ]
