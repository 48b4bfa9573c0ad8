"""The answers of a measurement, arranged for comparing: by point, arm and workload. Pure."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from equivcheck.core.generation import Generation
from equivcheck.metrics.chunks import prompt_of
from equivcheck.metrics.records import Bench, Measured, Probed
from equivcheck.metrics.under_load import Runs, runs_of

Place = tuple[str, int]
"""Workload and chunk."""


class Timed(NamedTuple):
    """One chunk, all repeats together, or one run under load."""

    seconds: float
    tokens: int

    @property
    def per_token(self) -> float:
        """Seconds a token."""
        return self.seconds / self.tokens


class Answers(NamedTuple):
    """One arm's answers at one point over some workloads."""

    measured: tuple[Measured, ...]

    @property
    def first(self) -> dict[str, Generation]:
        """By prompt, of the first time: counts repeat, so one answer a prompt is enough."""
        return {
            key: each.generation
            for each in reversed(self.measured)
            if (key := each.generation.key) == prompt_of(key)
        }

    @property
    def runs(self) -> Runs:
        """The runs under load; empty where requests did not come at times of their own."""
        return runs_of(self.measured)

    @property
    def samples(self) -> Mapping[object, Timed]:
        """What is independent of one another: chunks, or under load runs, timed by requests."""
        timed: dict[object, Timed] = {
            key: Timed(sum(load.e2e for load in run.loads), run.tokens)
            for key, run in self.runs.items()
            if run.tokens
        }
        return timed or dict(self.chunks.items())

    @property
    def chunks(self) -> dict[Place, Timed]:
        """Every chunk that has tokens, timed: under load by the sum of its requests' times."""
        seconds: dict[Place, dict[int, float]] = defaultdict(dict)
        tokens: dict[Place, int] = defaultdict(int)
        for each in self.measured:
            place = (each.workload, each.chunk)
            if each.load is None:
                seconds[place][each.repeat] = each.seconds
            else:
                before = seconds[place].get(each.repeat, 0.0)
                seconds[place][each.repeat] = before + each.load.e2e
            tokens[place] += len(each.generation.token_ids)
        return {
            place: Timed(sum(by_repeat.values()), tokens[place])
            for place, by_repeat in seconds.items()
            if tokens[place]
        }

    @property
    def later_step_seconds(self) -> float | None:
        """Median of all steps but each answer's first, which may hold the prompt.

        None under load: steps wait for others' prompts, and rows come and go.
        """
        if self.runs:
            return None
        found = [
            step.seconds
            for each in self.measured
            for step in each.generation.steps[1:]
            if step.seconds is not None
        ]
        return statistics.median(found) if found else None

    def rows(self, probe: Probed, *, batch_size: int) -> float:
        """Rows that were decoded together, mean over chunks, which may hold further prompts.

        Args:
            probe: Of the engine, which may take fewer at once.
            batch_size: That was asked for.
        """
        chunks = {(each.workload, each.chunk, each.repeat) for each in self.measured}
        asked = len(self.measured) / len(chunks)
        return min(asked, batch_size, probe.capabilities.batch_size)

    @property
    def generations(self) -> list[Generation]:
        """All of them, in the order of asking."""
        return [each.generation for each in self.measured]


class Arranged(NamedTuple):
    """Answers by point, arm and workload."""

    found: dict[tuple[int, str, str], tuple[Measured, ...]]

    def of(self, *, point: int, arm: str, workloads: Sequence[str]) -> Answers:
        """An arm's answers at a point over these workloads."""
        return Answers(
            tuple(
                each
                for workload in workloads
                for each in self.found.get((point, arm, workload), ())
            )
        )


def arrange(bench: Bench) -> Arranged:
    """Sort the lines of a measurement; of several answers to one question the last counts.

    Chunks in which every prompt was asked before are left out: as a sample they are no larger.
    """
    own = {
        (each.point, each.workload, each.chunk)
        for each in bench.measured
        if each.generation.key == prompt_of(each.generation.key)
    }
    last = {
        (each.point, each.arm, each.generation.key, each.repeat): each
        for each in bench.measured
        if (each.point, each.workload, each.chunk) in own
    }
    grouped: dict[tuple[int, str, str], list[Measured]] = defaultdict(list)
    for each in sorted(last.values(), key=lambda each: each.repeat):
        grouped[each.point, each.arm, each.workload].append(each)
    return Arranged({place: tuple(found) for place, found in grouped.items()})


def token_ids(measured: Iterable[Measured]) -> dict[str, set[tuple[int, ...]]]:
    """Prompt to every answer that was given to it."""
    found: dict[str, set[tuple[int, ...]]] = defaultdict(set)
    for each in measured:
        found[prompt_of(each.generation.key)].add(each.generation.token_ids)
    return found
