"""Put a schedule to a service, and write down all that happens; judges nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from equivcheck.core.engine import Engine
from equivcheck.core.errors import EngineError
from equivcheck.core.generation import Generation, Request
from equivcheck.core.service_schedule import Arrival, Schedule, Served
from equivcheck.core.serving import ServedEvent, Serving, ServingEngine

PATIENCE = 4
"""Steps a token, by which a service has to be done: reading, waiting and recomputation included."""


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
    return Run(engine.serve(schedule.limits), schedule, requests).whole()


class Run:
    """One schedule on its way."""

    def __init__(
        self, service: Serving, schedule: Schedule, requests: Mapping[str, Request]
    ) -> None:
        """Nobody has come yet."""
        self.service, self.requests = service, requests
        self.coming: defaultdict[int, list[Request]] = defaultdict(list)
        """By step, who comes then."""
        self.impatient: dict[str, Arrival] = {}
        """By key, who will be given up."""
        for arrival in schedule.arrivals:
            self.coming[arrival.step].append(requests[arrival.key])
            if arrival.give_up_after is not None:
                self.impatient[arrival.key] = arrival
        asked = [requests[each.key] for each in schedule.arrivals]
        tokens = sum(len(each.prompt_ids) + each.max_new_tokens for each in asked)
        waits = sum(each.retry_after or 0 for each in schedule.arrivals)
        self.deadline = max(self.coming, default=0) + waits + PATIENCE * tokens
        self.events: list[ServedEvent] = []
        self.told: defaultdict[str, int] = defaultdict(int)
        """By key, tokens so far of who will be given up."""

    def whole(self) -> Served:
        """Run it to its end.

        Raises:
            EngineError: it does not come to one.
        """
        step = 0
        while self.coming or not self.service.idle:
            if step > self.deadline:
                raise EngineError(f"the service has not come to an end in {step:,} steps")
            for request in self.coming.pop(step, ()):
                self.service.submit(request)
            happened = self.service.advance()
            self.events += happened
            self.note(happened)
            step += 1
            self.give_up(step)
        self.events += self.service.advance()
        return Served(events=tuple(self.events))

    def note(self, happened: Sequence[ServedEvent]) -> None:
        """Count the tokens of who will be given up, and forget who ended before."""
        for each in happened:
            self.told[each.key] += len(each.tokens)
            if each.happened == "finished":
                self.impatient.pop(each.key, None)

    def give_up(self, step: int) -> None:
        """Give up who has had as many tokens as they wait for, and plan their return."""
        for key, arrival in list(self.impatient.items()):
            assert arrival.give_up_after is not None
            if arrival.step >= step or self.told[key] < arrival.give_up_after:
                continue
            del self.impatient[key]
            if self.service.cancel(key) and arrival.retry_after is not None:
                self.coming[step + arrival.retry_after].append(self.requests[key])


def answers_alone(engine: Engine, requests: Sequence[Request]) -> dict[str, Generation]:
    """Each request's answer when nothing else is asked; by key."""
    answers: dict[str, Generation] = {}
    for request in requests:
        answers |= {each.key: each for each in engine.generate([request])}
    return answers
