"""The order in which draws of merged shards are tested in the measurement of their power."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.power.shards import CASES, merged, summed_up


@pytest.mark.parametrize("shards", [1, 2, 5])
def test_each_round_of_a_gate_has_every_case_once(shards: int) -> None:
    order = merged(498, rounds=500, each=4, shards=shards).reshape(4, CASES)
    assert (order % CASES == np.arange(CASES)).all()
    assert len(np.unique(order)) == order.size
    rounds = {tuple(np.unique(row // CASES)) for row in order}
    assert {len(each) for each in rounds} == {shards}


def test_of_one_run_rounds_stay_whole() -> None:
    assert (merged(3, rounds=500, each=2, shards=1) == np.arange(3 * CASES, 5 * CASES)).all()


def test_a_ratio_has_an_interval_around_it() -> None:
    random = np.random.default_rng(0)
    whole = random.exponential(400, 500)
    told = summed_up(whole * 1.2, whole)
    assert told["ratio"] == pytest.approx(1.2)
    assert told["ratio_95"] == pytest.approx([1.2, 1.2])
    never = np.full(500, np.inf)
    assert summed_up(never, never) == {"refuted": 0}
