from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from equivcheck.core.generation import Generation, Step
from equivcheck.records.divergence import StepSlot, first_divergence, join, place_of
from equivcheck.records.records import CANDIDATE, CONTROL, TARGET
from tests.unit.make import make_evidence, make_generation, make_steps

TOKENS = st.lists(st.integers(0, 3), max_size=12)


@pytest.mark.parametrize(
    ("one", "other", "position"),
    [
        ((1, 2, 3), (1, 2, 3), None),
        ((1, 2, 3), (1, 9, 3), 1),
        ((9, 2, 3), (1, 2, 3), 0),
        ((1, 2), (1, 2, 3), 2),
        ((), (1,), 0),
        ((), (), None),
    ],
)
def test_first_divergence(
    one: tuple[int, ...], other: tuple[int, ...], position: int | None
) -> None:
    assert first_divergence(make_generation(one), make_generation(other)) == position


def test_another_finish_reason_diverges_behind_the_last_token() -> None:
    one, other = make_generation((1, 2)), make_generation((1, 2), finish_reason="stop")
    assert first_divergence(one, other) == 2


@given(one=TOKENS, other=TOKENS)
def test_divergence_is_symmetric_and_the_end_of_the_common_prefix(
    one: list[int], other: list[int]
) -> None:
    left, right = make_generation(one), make_generation(other)
    position = first_divergence(left, right)
    assert position == first_divergence(right, left)
    assert (position is None) == (one == other)
    if position is not None:
        assert one[:position] == other[:position]
        assert one[position : position + 1] != other[position : position + 1]


@given(
    st.lists(
        st.integers(0, 5).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))), min_size=1
    )
)
def test_every_token_has_one_place(blocks: list[tuple[int, int]]) -> None:
    steps = make_steps(*blocks)
    total = sum(step.emitted for step in steps)
    answer = make_generation(range(total), steps=steps)
    places = [place_of(answer, position) for position in range(total)]
    assert [(place.step, place.slot) for place in places if place] == [
        (index, slot) for index, step in enumerate(steps) for slot in range(step.emitted)
    ]
    assert sum(place.role == "draft" for place in places if place) == sum(
        step.accepted for step in steps
    )
    assert place_of(answer, total) is None
    assert place_of(answer, -1) is None


@pytest.mark.parametrize(
    ("position", "place"),
    [
        (0, StepSlot(0, 0, "plain")),
        (1, StepSlot(1, 0, "draft")),
        (2, StepSlot(1, 1, "correction")),
        (4, StepSlot(2, 1, "draft")),
        (5, StepSlot(2, 2, "bonus")),
        (6, StepSlot(3, 0, "draft")),
        (7, None),
    ],
)
def test_roles(position: int, place: StepSlot | None) -> None:
    steps = (*make_steps((0, 0), (4, 1), (2, 2)), Step(drafted=4, accepted=4, emitted=1))
    assert place_of(make_generation(range(7), steps=steps), position) == place


def test_no_place_without_steps_or_past_what_they_cover() -> None:
    assert place_of(make_generation((1, 2)), 1) is None
    assert place_of(make_generation((1, 2), steps=make_steps((0, 0))), 1) is None


def answers(**tokens: tuple[int, ...]) -> list[Generation]:
    return [make_generation(ids, key=f"code/{name}") for name, ids in tokens.items()]


def test_join_keeps_the_order_asked_and_leaves_out_what_one_arm_lacks() -> None:
    evidence = make_evidence(
        {
            TARGET: answers(a=(1, 2), b=(3,), c=(4,)),
            CANDIDATE: answers(c=(4,), a=(1, 5)),
        }
    )
    pairs = join(evidence, arm=CANDIDATE)
    assert [(pair.key, pair.position) for pair in pairs] == [("code/a", 1), ("code/c", None)]
    assert (pairs[0].arm, pairs[0].base) == (CANDIDATE, TARGET)
    assert pairs[0].other.token_ids == (1, 5)
    assert pairs[0].place is None
    assert join(evidence, arm=CONTROL) == ()


def test_token_differs_only_where_both_have_one() -> None:
    evidence = make_evidence(
        {
            TARGET: answers(a=(1, 2), b=(1, 2), c=(1,)),
            CANDIDATE: answers(a=(1, 5), b=(1,), c=(1,)),
        }
    )
    assert [pair.token_differs for pair in join(evidence, arm=CANDIDATE)] == [True, False, False]


def test_join_places_the_candidates_token() -> None:
    answer = make_generation((1, 2, 9), steps=make_steps((2, 2)))
    evidence = make_evidence({TARGET: [make_generation((1, 2, 3))], CANDIDATE: [answer]})
    (pair,) = join(evidence, arm=CANDIDATE)
    assert pair.place == StepSlot(0, 2, "bonus")
