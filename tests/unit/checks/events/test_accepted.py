"""Drafts by counts a request: what counts prove is counted, what they leave open is unknown."""

from __future__ import annotations

import pytest

from equivcheck.checks.events.kind import NO_STEPS, ONLY_COUNTS
from equivcheck.checks.events.seen import AnsweredRequest
from equivcheck.checks.events.vocabulary import RunEvent
from equivcheck.core.generation import DraftCounts
from tests.unit.checks.events.make import answer, event


def counted(
    slots: tuple[int, ...], *, steps: int | None, drafted: int, accepted: int | None = None
) -> AnsweredRequest:
    told = DraftCounts(
        drafted=drafted,
        accepted=sum(slots) if accepted is None else accepted,
        steps=steps,
        accepted_by_slot=slots,
    )
    return answer(length=20, counts=told)


def of(name: str, *answers: AnsweredRequest) -> RunEvent:
    return event(name, *answers, gamma=3)


def test_full_steps_are_those_that_accepted_in_the_last_slot() -> None:
    found = of("all-accepted-greedy", counted((5, 3, 2), steps=9, drafted=27))
    assert (found.count, found.unknown) == (2, None)
    never = of("all-accepted-greedy", counted((5, 3), steps=9, drafted=27))
    assert (never.count, never.unknown) == (0, None)


def test_rejections_by_slot_leave_out_the_step_that_a_stop_may_have_cut() -> None:
    # 9 steps: 4 accepted none, 2 one, 2 two, 1 all three. The last may be any of them.
    found = of("rejected-each-slot-greedy", counted((5, 3, 1), steps=9, drafted=27))
    assert found.parts == {"slot 0": 3, "slot 1": 1, "slot 2": 1}
    assert of("partly-accepted", counted((5, 3, 1), steps=9, drafted=27)).count == 3


@pytest.mark.parametrize(
    "told",
    [
        counted((5, 3, 1), steps=9, drafted=26),  # a short step may have accepted all it had
        counted((5, 4, 1), steps=9, drafted=27),  # the one step that accepted one may be the last
        counted((5, 3, 1), steps=None, drafted=27),
        counted((), steps=9, drafted=27, accepted=9),
    ],
)
def test_what_counts_leave_open_is_unknown(told: AnsweredRequest) -> None:
    found = of("rejected-each-slot-greedy", told)
    assert found.unknown == ONLY_COUNTS
    assert not found.exercised


def test_that_nothing_was_ever_rejected_is_known() -> None:
    found = of("rejected-each-slot-greedy", counted((5, 5, 5), steps=5, drafted=15))
    assert found.unknown is None
    assert found.parts == {"slot 0": 0, "slot 1": 0, "slot 2": 0}
    assert of("partly-accepted", counted((5, 5, 5), steps=5, drafted=15)).unknown is None


def test_slots_that_are_not_told_leave_full_steps_open() -> None:
    silent = counted((), steps=9, drafted=27, accepted=9)
    assert of("all-accepted-greedy", silent).unknown == ONLY_COUNTS
    few = counted((), steps=9, drafted=27, accepted=2)
    assert of("all-accepted-greedy", few).unknown is None


def test_answers_add_up() -> None:
    both = [counted((5, 3, 1), steps=9, drafted=27), counted((2, 2, 2), steps=4, drafted=12)]
    assert of("all-accepted-greedy", *both).count == 3
    assert of("rejected-each-slot-greedy", *both).parts["slot 0"] == 4


def test_one_draft_a_step_is_never_partly_accepted_and_asks_nothing() -> None:
    told = counted((4,), steps=9, drafted=9)
    assert event("partly-accepted", told, gamma=1).count == 9


def test_places_of_steps_stay_unknown() -> None:
    told = counted((5, 3, 1), steps=9, drafted=27)
    assert of("step-across-16", told).unknown == NO_STEPS
    assert of("eos-each-slot", told).unknown == NO_STEPS
