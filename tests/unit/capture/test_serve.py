"""A schedule is put to a service step by step; a service without an end is an error."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from equivcheck.capture.serve import Run
from equivcheck.core.errors import EngineError
from equivcheck.core.generation import Generation, Request
from equivcheck.core.service_schedule import Arrival, Schedule, Served
from equivcheck.core.serving import ServedEvent


class Toy:
    """Gives each request a token a step: 0, 1, 2 and so on."""

    def __init__(self, *, ends: bool = True) -> None:
        self.ends = ends
        self.live: dict[str, Request] = {}
        self.told: dict[str, int] = {}
        self.steps = 0
        self.log: list[str] = []

    def submit(self, request: Request) -> None:
        self.live[request.key] = request
        self.told[request.key] = 0
        self.log.append(f"{self.steps}: {request.key}")

    def cancel(self, key: str) -> bool:
        self.log.append(f"{self.steps}: no {key}")
        return self.live.pop(key, None) is not None

    def advance(self) -> Sequence[ServedEvent]:
        self.steps += 1
        events = []
        for key, request in list(self.live.items()):
            token, self.told[key] = self.told[key], self.told[key] + 1
            events.append(ServedEvent(step=self.steps, key=key, happened="tokens", tokens=(token,)))
            if self.ends and self.told[key] == request.max_new_tokens:
                del self.live[key]
                whole = Generation(
                    key=key,
                    token_ids=tuple(range(self.told[key])),
                    finish_reason="length",
                    prompt_tokens=1,
                )
                events.append(
                    ServedEvent(step=self.steps, key=key, happened="finished", generation=whole)
                )
        return events

    @property
    def idle(self) -> bool:
        return not self.live


def run(service: Toy, *arrivals: Arrival, tokens: int = 4) -> Served:
    requests = {
        each.key: Request(key=each.key, prompt_ids=(1,), max_new_tokens=tokens) for each in arrivals
    }
    return Run(service, Schedule(name="toy", arrivals=arrivals), requests).whole()


def test_requests_come_at_their_step() -> None:
    service = Toy()
    served = run(service, Arrival(key="a"), Arrival(key="b", step=2), Arrival(key="c", step=9))
    assert service.log == ["0: a", "2: b", "9: c"]
    assert served.answers.keys() == {"a", "b", "c"}


def test_requests_are_given_up_and_asked_again() -> None:
    service = Toy()
    served = run(
        service,
        Arrival(key="a", give_up_after=2),
        Arrival(key="b", step=1, give_up_after=0, retry_after=3),
        Arrival(key="c", give_up_after=9),
    )
    assert service.log == ["0: a", "0: c", "1: b", "2: no a", "2: no b", "5: b"]
    assert served.answers.keys() == {"b", "c"}


def test_a_service_without_an_end_is_an_error() -> None:
    with pytest.raises(EngineError, match="not come to an end"):
        run(Toy(ends=False), Arrival(key="a"))
