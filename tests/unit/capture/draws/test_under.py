"""Draws under a schedule: which answers count never hangs on what was drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from equivcheck.capture.draws.under import Under, UnderTold, draw_under
from equivcheck.core.cases import Sampling
from equivcheck.core.engine import Engine
from equivcheck.core.errors import EngineError
from equivcheck.core.generation import Generation, Request
from equivcheck.core.service_schedule import Arrival, Schedule
from equivcheck.core.serving import ServedEvent
from equivcheck.core.times import Arrives, Delay, Patience, ServingLimits
from equivcheck.records.records import SAMPLED, Failed
from equivcheck.records.sample_keys import drawn_request

SEED = 5


def request(key: str) -> Request:
    sampling = Sampling(temperature=1.0)
    return Request(key=key, prompt_ids=(1, 2), max_new_tokens=8, sampling=sampling)


UNDER = Under(
    schedule=Schedule(
        name="p",
        arrivals=(
            Arrival(key="p/stays"),
            Arrival(key="p/again", give_up_after=Patience(tokens=2), retry=Delay(step=1)),
            Arrival(key="p/gone", give_up_after=Patience(tokens=2)),
            Arrival(key="p/late", after=("p/again",), arrives=Arrives(step=1)),
        ),
        limits=ServingLimits(live_tokens=100),
    ),
    requests=tuple(request(f"p/{name}") for name in ("stays", "again", "gone", "late")),
)
CASES = UNDER.requests


class Service:
    """Answers a token a step: as many as the request's seed says, 1 or 4."""

    by_clock = False

    def __init__(self, limits: ServingLimits, *, breaks_at: int) -> None:
        self.limits, self.breaks_at = limits, breaks_at
        self.seen: list[Request] = []
        self.left: dict[str, tuple[Request, int]] = {}
        self.steps = 0
        self.gone: list[ServedEvent] = []

    @property
    def idle(self) -> bool:
        return not self.left

    def submit(self, asked: Request) -> None:
        self.seen.append(asked)
        self.left[asked.key] = (asked, 0)

    def cancel(self, key: str) -> bool:
        self.gone.append(ServedEvent(step=self.steps, key=key, happened="given up"))
        return self.left.pop(key, None) is not None

    def advance(self) -> Sequence[ServedEvent]:
        self.steps += 1
        if self.steps == self.breaks_at:
            raise EngineError("out of blocks")
        events, self.gone = self.gone, []
        for key, (asked, had) in list(self.left.items()):
            token = asked.seed % 1000
            events.append(ServedEvent(step=self.steps, key=key, happened="tokens", tokens=(token,)))
            self.left[key] = (asked, had + 1)
            if had + 1 == (4 if asked.seed % 2 else 1):
                del self.left[key]
                whole = Generation(
                    key=key, token_ids=(token,) * (had + 1), finish_reason="eos", prompt_tokens=2
                )
                done = ServedEvent(step=self.steps, key=key, happened="finished", generation=whole)
                events.append(done)
        return events


class Engines:
    """Has one service after the other."""

    def __init__(self, breaks_at: int = -1) -> None:
        self.breaks_at = breaks_at
        self.service: Service | None = None

    @property
    def capabilities(self) -> Any:
        return type("Told", (), {"engine": "fake"})

    def serve(self, limits: ServingLimits) -> Service:
        self.service = Service(limits, breaks_at=self.breaks_at)
        return self.service


def drawn(engine: Engines, *rounds: int, wanted: frozenset[str]) -> UnderTold:
    return draw_under(
        cast("Engine", engine),
        UNDER,
        rounds,
        wanted=wanted,
        seed=SEED,
        arm=SAMPLED,
        pace=lambda case: None,
    )


def keys(*rounds: int) -> frozenset[str]:
    return frozenset(f"{case}#{number}" for case in UNDER.drawn(CASES) for number in rounds)


def test_who_is_given_up_for_good_is_company() -> None:
    assert UNDER.drawn(CASES) == {"p/stays", "p/again", "p/late"}
    assert UNDER.drawn(CASES[2:]) == {"p/late"}


def test_an_answer_that_was_given_up_has_another_seed_and_never_counts() -> None:
    engine, rounds = Engines(), range(1, 21)
    found = drawn(engine, *rounds, wanted=keys(*rounds))
    assert engine.service is not None
    seen = [each for each in engine.service.seen if each.key.startswith("p/again#")]
    # Each of them twice, also those that had ended before they would have been given up.
    assert sorted(each.key for each in seen) == sorted(2 * [f"p/again#{at}" for at in rounds])
    ended = {each.key for each in seen[:20] if each.seed % 2 == 0}
    assert 0 < len(ended) < 20
    answers = {each.key: each for each in found.outcomes if isinstance(each, Generation)}
    assert answers.keys() == keys(*rounds)
    for key, answer in answers.items():
        case, _, number = key.partition("#")
        asked = drawn_request(request(case), round=int(number), seed=SEED)
        assert answer.token_ids[0] == asked.seed % 1000
    for each in seen[:20]:
        at = int(each.key.partition("#")[2])
        assert each.seed != drawn_request(request("p/again"), round=at, seed=SEED).seed


def test_rounds_go_side_by_side_with_the_memory_of_all() -> None:
    engine = Engines()
    found = drawn(engine, 3, 4, wanted=keys(3, 4))
    assert engine.service is not None
    assert engine.service.limits.live_tokens == 200
    schedule = UNDER.of_rounds((3, 4))
    assert schedule.arrivals[3].after == ("p/again#3",)
    assert schedule.arrivals[7].after == ("p/again#4",)
    assert found.run is not None
    assert found.run.schedule == UNDER.schedule
    assert {each.happened for each in found.run.events} == {"given up"}
    assert {each.key for each in found.run.events} <= {"p/again", "p/gone"}


def test_only_what_is_wanted_is_taken() -> None:
    found = drawn(Engines(), 1, wanted=frozenset({"p/stays#1"}))
    assert [each.key for each in found.outcomes] == ["p/stays#1"]


def test_where_it_breaks_nothing_counts() -> None:
    found = drawn(Engines(breaks_at=3), 1, wanted=keys(1))
    assert found.run is None
    assert {each.key for each in found.outcomes} == keys(1)
    assert all(
        isinstance(each, Failed) and each.message == "while p was served: out of blocks"
        for each in found.outcomes
    )
