"""Who was decoded beside whom follows from the plan and from the steps of each answer."""

from __future__ import annotations

import msgspec
import pytest

from equivcheck.capture.plan import Chunk, make_plan, shuffle
from equivcheck.core.cases import Case, Sampling
from equivcheck.core.generation import Generation
from equivcheck.core.settings import EngineSetup, Settings
from equivcheck.records.asking_order import company_of
from equivcheck.records.company import Seat, seats_of
from equivcheck.records.records import CANDIDATE, CONTROL, SHUFFLED, Evidence
from tests.unit.make import make_capabilities, make_evidence, make_generation, make_steps, suite_of

SETTINGS = Settings(setup=EngineSetup(batch_size=3), probe_every=2)
NATIVE = make_capabilities(engine="native:gamma=4", batch_size=3, num_speculative_tokens=4)
SUITE = suite_of(
    tuple(
        Case(
            id=f"c{index}", token_ids=(5,), sampling=Sampling(temperature=1.0 if index == 1 else 0)
        )
        for index in range(8)
    ),
    digest="",
)
PLAN = make_plan(SETTINGS, [SUITE], encode=lambda case: case.token_ids or ())
(TOGETHER,) = shuffle(PLAN, wanted=set(PLAN.planned[SHUFFLED]), seed=SETTINGS.seed, company=1)
QUEUE = [request.key for request in TOGETHER]
LENGTHS = dict(zip(QUEUE, (3, 1, 4, 1, 2), strict=True))
"""Steps of each answer; the rows are 0, 1, 2, then 1 again, and 1 once more."""


def answer(key: str) -> Generation:
    steps = LENGTHS.get(key, 2)
    return make_generation([10] * steps, key=key, steps=make_steps(*[(1, 0)] * steps))


def ran(shuffled_order: list[str], *, engine: str = "native:gamma=4") -> Evidence:
    keys = [each.request.key for each in PLAN.asked]
    told = msgspec.structs.replace(NATIVE, engine=engine)
    return make_evidence(
        {
            CANDIDATE: [answer(key) for chunk in PLAN.chunks for key in by_length(chunk)],
            SHUFFLED: [answer(key) for key in shuffled_order],
            CONTROL: [answer(key) for key in keys if key != "code/c1"],
        },
        requests=[each.request for each in PLAN.asked],
        arms=dict.fromkeys((CANDIDATE, SHUFFLED, CONTROL), told),
        settings=SETTINGS,
        planned=PLAN.planned,
    )


def by_length(chunk: Chunk) -> list[str]:
    return sorted((each.key for each in chunk), key=lambda key: LENGTHS.get(key, 2))


FINISHED = [QUEUE[place] for place in (1, 3, 0, 2, 4)]
"""After rounds 1, 2, 3, 4 and 4: of the last two, row 1 comes before row 2."""
WANTED = [key for key in FINISHED if key in PLAN.planned[SHUFFLED]]


def test_the_queue_is_made_as_it_is_asked() -> None:
    assert company_of(3) == 1
    assert len(QUEUE) == 5
    seats = seats_of(ran(WANTED), SHUFFLED)
    assert {seat.together for seat in seats.values()} == {tuple(QUEUE)}
    assert set(seats) == set(PLAN.planned[SHUFFLED])


def rows(seats: dict[str, Seat]) -> dict[str, tuple[int | None, int]]:
    return {key: (seat.row, seat.served) for key, seat in seats.items()}


def test_rows_are_refilled_as_they_come_free() -> None:
    order = sorted(QUEUE, key=lambda key: _ended(key))
    seats = seats_of(ran([key for key in order if key in PLAN.planned[SHUFFLED]]), SHUFFLED)
    expected = dict(zip(QUEUE, [(0, 0), (1, 0), (2, 0), (1, 1), (1, 2)], strict=True))
    assert rows(seats) == {key: expected[key] for key in seats}
    for key, seat in seats.items():
        assert key not in seat.beside
    if QUEUE[4] in seats:
        assert set(seats[QUEUE[4]].beside) == {QUEUE[0], QUEUE[2]}


def _ended(key: str) -> tuple[int, int]:
    return dict(zip(QUEUE, [(3, 0), (1, 1), (4, 2), (2, 1), (4, 1)], strict=True))[key]


def test_answers_that_came_in_another_order_leave_rows_unknown() -> None:
    order = sorted(PLAN.planned[SHUFFLED], key=_ended, reverse=True)
    seats = seats_of(ran(order), SHUFFLED)
    assert {seat.row for seat in seats.values()} == {None}
    assert {seat.beside for seat in seats.values()} == {()}


def test_other_engines_have_neighbours_and_no_rows() -> None:
    seats = seats_of(ran(WANTED, engine="vllm:"), CANDIDATE)
    assert {seat.row for seat in seats.values()} == {None}
    first = PLAN.chunks[0]
    assert set(seats[first[0].key].beside) == {each.key for each in first[1:]}


def test_an_arm_has_no_company_that_it_was_not_asked() -> None:
    seats = seats_of(ran(WANTED, engine="vllm:"), CONTROL)
    assert "code/c1" not in seats
    assert all("code/c1" not in seat.together for seat in seats.values())


def test_arms_that_never_ran_have_no_seats() -> None:
    assert seats_of(ran(WANTED), "elsewhere") == {}


@pytest.mark.parametrize("rows", [-5, 0, 10**15])
def test_any_number_of_rows_can_be_read(rows: int) -> None:
    told = msgspec.structs.replace(NATIVE, batch_size=rows)
    evidence = ran(WANTED)
    header = msgspec.structs.replace(evidence.header, arms={SHUFFLED: told})
    assert seats_of(msgspec.structs.replace(evidence, header=header), SHUFFLED)
