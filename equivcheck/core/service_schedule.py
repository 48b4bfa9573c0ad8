"""Schedules: which request comes when, which is given up, and what came of all that.

Pure records, the same for every engine that serves. Time is counted in steps of the service.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from msgspec import Meta, Struct

from equivcheck.core.generation import Generation
from equivcheck.core.serving import ServedEvent, ServingLimits

Steps = Annotated[int, Meta(ge=0)]
Demand = Literal["given up", "retried", "preempted", "taken over", "refilled"]
"""What has to happen for a schedule to have tested what it is for. taken over: prompt tokens were
not read again. refilled: a row served one request after another."""


class Arrival(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One request of a schedule."""

    key: str
    """Of the request."""
    step: Steps = 0
    """When it comes."""
    give_up_after: Annotated[int, Meta(ge=0)] | None = None
    """Tokens after which it is given up, if it has not ended by then; 0: one step after it came,
    whatever state it is in. None: never."""
    retry_after: Steps | None = None
    """Steps after which it is asked again, and then kept; None: it is not."""


class Schedule(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Requests by time, under limits."""

    name: str
    arrivals: tuple[Arrival, ...]
    limits: ServingLimits = ServingLimits()
    demands: tuple[Demand, ...] = ()


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
            return len(given_up & self.answers.keys())
        return len(self.of(demand))


def unmet(schedule: Schedule, served: Served) -> list[Demand]:
    """What a schedule demands and has not brought about."""
    return [demand for demand in schedule.demands if not served.count(demand)]


def tokens_of(events: Iterable[ServedEvent]) -> tuple[int, ...]:
    """All tokens that some events tell, in order."""
    return tuple(token for each in events for token in each.tokens)
