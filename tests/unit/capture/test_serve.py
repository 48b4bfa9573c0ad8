"""A schedule is put to a service step by step; a service without an end is an error."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from equivcheck.capture.serve import ScheduleRun
from equivcheck.core.errors import EngineError
from equivcheck.core.generation import Generation, Request
from equivcheck.core.service_schedule import Arrival, Schedule, Served
from equivcheck.core.serving import ServedEvent
from equivcheck.core.times import Arrives, Delay, Patience


class Toy:
    """Gives each request a token a step: 0, 1, 2 and so on."""

    by_clock = False

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
    def request_of(key: str) -> Request:
        return Request(key=key, prompt_ids=(1,), max_new_tokens=tokens)

    return ScheduleRun(service, Schedule(name="toy", arrivals=arrivals), request_of).whole()


def test_requests_come_at_their_step() -> None:
    service = Toy()
    served = run(
        service,
        Arrival(key="a"),
        Arrival(key="b", arrives=Arrives(step=2)),
        Arrival(key="c", arrives=Arrives(step=9)),
    )
    assert service.log == ["0: a", "2: b", "9: c"]
    assert served.answers.keys() == {"a", "b", "c"}


def test_requests_are_given_up_and_asked_again() -> None:
    service = Toy()
    served = run(
        service,
        Arrival(key="a", give_up_after=Patience(tokens=2)),
        Arrival(
            key="b",
            arrives=Arrives(step=1),
            give_up_after=Patience(tokens=0),
            retry=Delay(step=3),
        ),
        Arrival(key="c", give_up_after=Patience(tokens=9)),
    )
    assert service.log == ["0: a", "0: c", "1: b", "2: no a", "2: no b", "5: b"]
    assert served.answers.keys() == {"b", "c"}


def test_a_service_without_an_end_is_an_error() -> None:
    with pytest.raises(EngineError, match="not come to an end"):
        run(Toy(ends=False), Arrival(key="a"))


def test_a_request_comes_after_another_has_ended() -> None:
    service = Toy()
    later = Arrival(key="c", after=("a", "b"), arrives=Arrives(step=2))
    gone = Arrival(key="b", give_up_after=Patience(tokens=6), arrives=Arrives(step=1))
    run(service, Arrival(key="a"), gone, later, tokens=8)
    assert service.log == ["0: a", "1: b", "7: no b", "10: c"]


def test_a_wave_begins_when_all_before_it_have_ended() -> None:
    service = Toy()
    second = Arrives(wave=1, step=2)
    run(
        service,
        Arrival(key="z", arrives=Arrives(wave=4)),
        Arrival(key="b", arrives=second),
        Arrival(key="a"),
        Arrival(key="c", after=("b",)),
    )
    assert service.log == ["0: a", "6: b", "10: c", "14: z"]


def test_seconds_and_milliseconds_are_those_of_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("equivcheck.capture.serve.time.monotonic", lambda: clock[0])
    monkeypatch.setattr(
        "equivcheck.capture.serve.time.sleep", lambda nap: clock.__setitem__(0, clock[0] + 0.25)
    )

    class Slow(Toy):
        def advance(self) -> Sequence[ServedEvent]:
            clock[0] += 1.0
            return super().advance()

    service = Slow()
    served = run(
        service,
        Arrival(key="a", give_up_after=Patience(milliseconds=2500), retry=Delay(seconds=0.5)),
        Arrival(key="b", arrives=Arrives(seconds=1.5)),
        Arrival(key="c", arrives=Arrives(seconds=30)),
    )
    assert service.log[:4] == ["0: a", "2: b", "3: no a", "4: a"]
    assert service.log[4].endswith(": c")
    assert served.answers.keys() == {"a", "b", "c"}
    assert clock[0] >= 30
    assert service.steps < 20


def test_where_tokens_are_not_told_so_many_are_the_time_they_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [0.0]
    monkeypatch.setattr("equivcheck.capture.serve.time.monotonic", lambda: clock[0])

    class Whole(Toy):
        by_clock = True

        def advance(self) -> Sequence[ServedEvent]:
            clock[0] += 1.0
            return [each for each in super().advance() if each.happened != "tokens"]

    service = Whole()
    schedule = Schedule(name="toy", arrivals=(Arrival(key="a", give_up_after=Patience(tokens=3)),))
    request = Request(key="a", prompt_ids=(1,), max_new_tokens=9)
    served = ScheduleRun(service, schedule, lambda key: request, pace=lambda key: 1.6).whole()
    assert service.log == ["0: a", "5: no a"]
    assert served.answers == {}
