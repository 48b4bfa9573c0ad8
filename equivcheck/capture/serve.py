"""Put a schedule to a service, and write down all that happens; judges nothing."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from equivcheck.core.engine import Engine
from equivcheck.core.errors import EngineError
from equivcheck.core.generation import Generation, Request
from equivcheck.core.service_schedule import Arrival, Schedule, Served
from equivcheck.core.serving import ServedEvent, Serving, ServingEngine
from equivcheck.core.times import Delay

PATIENCE = 4
"""Steps a token, by which a service has to be done: reading, waiting and recomputation included."""
USUAL_PACE = 0.02
"""Seconds a token, where nothing better is known."""
NAP = 0.001
"""Seconds between two looks at the clock, while nothing is there to work on."""

RequestOf = Callable[[str], Request]
"""From a key to its request, as it comes: by then what it follows has been answered."""


def serve_schedule(
    engine: ServingEngine, schedule: Schedule, requests: Mapping[str, Request]
) -> Served:
    """Have an engine serve a schedule from a fresh start.

    Args:
        engine: that serves.
        schedule: when requests come and are given up.
        requests: by key, at least those of the schedule.

    Raises:
        EngineError: a request cannot be served, or the service does not come to an end.
    """
    return ScheduleRun(engine.serve(schedule.limits), schedule, requests.__getitem__).whole()


class Now(NamedTuple):
    """A point in time."""

    step: int
    seconds: float

    def after(self, delay: Delay) -> Now:
        """So much later."""
        return Now(self.step + delay.step, self.seconds + delay.seconds)

    def reached(self, now: Now) -> bool:
        """Whether it is there."""
        return self.step <= now.step and self.seconds <= now.seconds


class ScheduleRun:
    """One schedule on its way."""

    def __init__(
        self,
        service: Serving,
        schedule: Schedule,
        request_of: RequestOf,
        *,
        answered: Callable[[Generation], object] = lambda answer: None,
        pace: Callable[[str], float | None] = lambda key: None,
        insists: bool = False,
    ) -> None:
        """Nobody has come yet.

        Args:
            service: that has just begun, under the limits of the schedule.
            schedule: when requests come and are given up.
            request_of: makes the requests of the schedule.
            answered: told of each whole answer as it comes.
            pace: from a key to the seconds that one of its tokens takes; None: not known. A service
                by the clock does not tell tokens as they come: so many are the time that they take.
            insists: ask again who would have been given up and has ended before, as if they had.
        """
        self.service, self.request_of = service, request_of
        self.answered, self.pace, self.insists = answered, pace, insists
        self.arrivals = {each.key: each for each in schedule.arrivals}
        self.unknown = list(schedule.arrivals)
        """Whose time is not known yet: their wave has not begun, or something has to end before."""
        self.coming: list[tuple[Now, Arrival]] = []
        self.impatient: dict[str, Now] = {}
        """By key, who will be given up, and since when they are there."""
        self.told: defaultdict[str, int] = defaultdict(int)
        """By key, tokens so far of who will be given up."""
        self.ended: set[str] = set()
        self.events: list[ServedEvent] = []
        self.steps, self.deadline, self.wave = 0, 0, 0

    @property
    def now(self) -> Now:
        """The time."""
        return Now(self.steps, time.monotonic())

    def whole(self) -> Served:
        """Run it to its end.

        Raises:
            EngineError: it does not come to one.
        """
        self.open_wave()
        while self.coming or self.unknown or not self.service.idle:
            if not self.coming and self.service.idle:
                self.open_wave()
            self.let_come()
            if self.service.idle and self.coming and self.waits_for_clock():
                time.sleep(NAP)
            else:
                self.advance()
        self.events += self.service.advance()
        return Served(events=tuple(self.events))

    def open_wave(self) -> None:
        """Begin the next wave: whoever belongs to it may come, as far as nothing is before them."""
        if self.unknown:
            able = [each for each in self.unknown if self.ended.issuperset(each.after)]
            self.wave = min((each.arrives.wave for each in able), default=self.wave)
            self.release()

    def release(self) -> None:
        """Set the time of who belongs to the wave and has nothing before them any more."""
        for arrival in list(self.unknown):
            if arrival.arrives.wave <= self.wave and self.ended.issuperset(arrival.after):
                self.unknown.remove(arrival)
                self.expect(arrival, arrival.arrives)

    def expect(self, arrival: Arrival, delay: Delay) -> None:
        """Somebody comes so much later."""
        self.coming.append((self.now.after(delay), arrival))
        self.deadline += delay.step

    def let_come(self) -> None:
        """Submit who has come, in the order of their times."""
        now = self.now
        here = [each for each in self.coming if each[0].reached(now)]
        self.coming = [each for each in self.coming if not each[0].reached(now)]
        for _, arrival in sorted(here, key=lambda each: each[0]):
            request = self.request_of(arrival.key)
            self.service.submit(request)
            self.deadline += PATIENCE * (len(request.prompt_ids) + request.max_new_tokens)
            if arrival.give_up_after is not None and arrival.key not in self.told:
                self.impatient[arrival.key] = now
                self.told[arrival.key] = 0

    def waits_for_clock(self) -> bool:
        """Whether nobody comes by a step."""
        return all(point.step <= self.steps for point, _ in self.coming)

    def advance(self) -> None:
        """One step of the service, and what follows from it.

        Raises:
            EngineError: there have been more steps than all requests can take.
        """
        if self.steps > self.deadline and not self.service.by_clock:
            raise EngineError(f"the service has not come to an end in {self.steps:,} steps")
        happened = self.service.advance()
        self.steps += 1
        self.note(happened)
        self.give_up()

    def note(self, happened: Sequence[ServedEvent]) -> None:
        """Count the tokens of who will be given up, and take answers."""
        self.events += happened
        for each in happened:
            if each.key in self.told:
                self.told[each.key] += len(each.tokens)
            if each.happened == "finished":
                patient = self.impatient.pop(each.key, None) is None
                if self.insists and not patient:
                    self.ask_again(each.key)
                    continue
                assert each.generation is not None
                self.answered(each.generation)
                self.end(each.key)

    def give_up(self) -> None:
        """Give up who has waited for long enough, and plan their return."""
        for key in [key for key in self.impatient if self.has_waited(key)]:
            del self.impatient[key]
            if self.service.cancel(key):
                self.ask_again(key)

    def ask_again(self, key: str) -> None:
        """Plan the return of who has left; without one they have ended."""
        arrival = self.arrivals[key]
        if arrival.retry is None:
            self.end(key)
        else:
            self.expect(arrival, arrival.retry)

    def has_waited(self, key: str) -> bool:
        """Whether a request has had the tokens, or the time, that its client waits for."""
        patience = self.arrivals[key].give_up_after
        assert patience is not None
        if patience.tokens is not None and not self.service.by_clock:
            return self.told[key] >= patience.tokens
        waited = time.monotonic() - self.impatient[key].seconds
        if patience.milliseconds is not None:
            return waited * 1000 >= patience.milliseconds
        return waited >= (patience.tokens or 0) * (self.pace(key) or USUAL_PACE)

    def end(self, key: str) -> None:
        """A request has ended for good; what comes after it may come."""
        self.ended.add(key)
        self.release()


def answers_alone(engine: Engine, requests: Sequence[Request]) -> dict[str, Generation]:
    """Each request's answer when nothing else is asked; by key."""
    answers: dict[str, Generation] = {}
    for request in requests:
        answers |= {each.key: each for each in engine.generate([request])}
    return answers
