"""Paired comparison of acceptance rates."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from equivcheck.core.generation import Generation, Step
from equivcheck.fault_matrix.degradation import degradation
from tests.unit.make import make_generation

Counts = tuple[int, int]


def answers(counts: list[Counts]) -> dict[str, Generation]:
    """One answer a prompt, with so many accepted of so many drafted tokens."""
    return {
        f"w/{index}": make_generation(
            (1,) * 4, key=f"w/{index}", steps=(Step(drafted=d, accepted=a, emitted=4),)
        )
        for index, (a, d) in enumerate(counts)
    }


@given(st.lists(st.integers(1, 30).map(lambda d: (d // 2, d)), min_size=2, max_size=8))
def test_a_decoder_is_no_worse_than_itself(counts: list[Counts]) -> None:
    found = degradation(answers(counts), answers(counts), workload="w")
    assert found is not None
    assert found.interval == (0.0, 0.0)
    assert not found.degraded


def test_prompts_are_paired() -> None:
    sound = [(2, 20), (10, 20), (18, 20), (6, 20)]
    worse = [(a - 1, d) for a, d in sound]
    found = degradation(answers(worse), answers(sound), workload="w")
    assert found is not None
    assert (found.sound, found.rate) == (0.45, 0.4)
    # Every prompt lost the same, so how far prompts differ from each other does not matter.
    assert found.interval == pytest.approx((-0.05, -0.05))
    assert found.degraded


def test_equal_decoders_are_seldom_called_worse() -> None:
    draw = random.Random(5)
    accused = 0
    for _ in range(400):
        rates = [draw.random() for _ in range(16)]
        arms = [
            answers([(sum(draw.random() < rate for _ in range(60)), 60) for rate in rates])
            for _ in range(2)
        ]
        found = degradation(arms[0], arms[1], workload="w")
        assert found is not None
        accused += found.degraded
    # One side of a 95 % interval: 10 of 400, and 3 standard deviations of it.
    assert accused <= 10 + 3 * 3.2


def test_too_little_is_not_compared() -> None:
    assert degradation(answers([(1, 2)]), answers([(1, 2)]), workload="w") is None
    assert degradation(answers([(0, 0)] * 3), answers([(1, 2)] * 3), workload="w") is None
