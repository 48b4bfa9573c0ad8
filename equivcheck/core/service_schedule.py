"""Schedules: which request comes when, which is given up, and what came of all that.

Pure records, the same for every engine that serves.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from equivcheck.core.cases import Case, Suite
from equivcheck.core.generation import Generation
from equivcheck.core.schedule import turns_before
from equivcheck.core.serving import ServedEvent, ServingLimits
from equivcheck.core.times import Arrives, Delay, Patience

Demand = Literal["given up", "retried", "preempted", "taken over", "refilled"]
"""What has to happen for a schedule to have tested what it is for. taken over: prompt tokens were
not read again. refilled: a row served one request after another."""


class Arrival(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One request of a schedule."""

    key: str
    """Key of the request."""
    arrives: Arrives = Arrives()
    after: tuple[str, ...] = ()
    """Keys of requests that have to have ended before; `arrives` counts from the last one's end."""
    give_up_after: Patience | None = None
    """None: never."""
    retry: Delay | None = None
    """After which it is asked again, and then kept; None: it is not."""


class Schedule(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Requests by time, under limits."""

    name: str
    arrivals: tuple[Arrival, ...]
    limits: ServingLimits = ServingLimits()
    demands: tuple[Demand, ...] = ()

    def among(self, keys: Iterable[str]) -> Schedule:
        """The schedule of some of its requests; what it demands of the others is dropped."""
        kept = set(keys)
        arrivals = tuple(
            replace(each, after=tuple(key for key in each.after if key in kept))
            for each in self.arrivals
            if each.key in kept
        )
        return replace(self, arrivals=arrivals, demands=demands_of(arrivals))

    @property
    def by_steps(self) -> bool:
        """Whether its times are steps alone, so that the same happens each time."""
        return not any(
            each.arrives.seconds
            or (each.give_up_after and each.give_up_after.tokens is None)
            or (each.retry and each.retry.seconds)
            for each in self.arrivals
        )


class Served(Struct, frozen=True, kw_only=True):
    """What a service made of a schedule."""

    events: tuple[ServedEvent, ...]
    """In order."""

    @property
    def answers(self) -> dict[str, Generation]:
        """Whole answers, by key."""
        return {each.key: each.generation for each in self.events if each.generation is not None}

    def of(self, *happened: str) -> list[ServedEvent]:
        """The events of some kinds."""
        return [each for each in self.events if each.happened in happened]

    def count(self, demand: Demand) -> int:
        """How often something has happened; of prompt tokens taken over, how many."""
        if demand == "taken over":
            return sum(each.cached for each in self.of("begun"))
        if demand == "refilled":
            return sum(each.after is not None for each in self.of("seated"))
        if demand == "retried":
            given_up = {each.key for each in self.of("given up")}
            return len(given_up & {each.key for each in self.of("finished")})
        return len(self.of(demand))


def schedule_of(suite: Suite) -> Schedule:
    """The schedule that a suite's cases make."""
    before = turns_before(suite.cases)

    def ends_before(case: Case) -> tuple[str, ...]:
        turns = [turn.id for turn in before.get(case.id, ())[-1:]]
        named = [] if case.after is None else [case.after]
        return tuple(f"{suite.workload}/{each}" for each in (*turns, *named))

    arrivals = tuple(
        Arrival(
            key=suite.key(case),
            arrives=case.arrives or Arrives(),
            after=ends_before(case),
            give_up_after=case.give_up_after,
            retry=case.retry,
        )
        for case in suite.cases
    )
    return Schedule(
        name=suite.workload,
        arrivals=arrivals,
        limits=suite.serving or ServingLimits(),
        demands=demands_of(arrivals),
    )


def demands_of(arrivals: Iterable[Arrival]) -> tuple[Demand, ...]:
    """What has to happen at least once, as requests are written to bring it about.

    Not preemption: how many rows there are, and how long prompts are, differ from engine to engine.
    """
    every = list(arrivals)
    written: list[tuple[Demand, bool]] = [
        ("given up", any(each.give_up_after for each in every)),
        ("retried", any(each.retry for each in every)),
    ]
    return tuple(demand for demand, there in written if there)


def unmet(schedule: Schedule, served: Served) -> list[Demand]:
    """What a schedule demands and has not brought about."""
    return [demand for demand in schedule.demands if not served.count(demand)]


def tokens_of(events: Iterable[ServedEvent]) -> tuple[int, ...]:
    """All tokens that some events tell, in order."""
    return tuple(token for each in events for token in each.tokens)
