"""Every bet is fair: its factor has mean 1 under the null, whatever came before."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from equivcheck.statistics.acceptance import acceptance_process
from equivcheck.statistics.bins import adaptive_factors
from equivcheck.statistics.wealth import log_mean_exp, log_wealth, staked
from tests.unit.statistics.tables import LIBRARY

seeds = st.integers(0, 2**32 - 1)


def distribution(random: np.random.Generator, *, size: int) -> NDArray[np.float64]:
    return random.dirichlet(np.full(size, 0.5))


@given(seed=seeds, past=st.integers(0, 30))
def test_adaptive_bets_are_fair_after_any_past(seed: int, past: int) -> None:
    random = np.random.default_rng(seed)
    masses = np.stack([distribution(random, size=6) + 1e-9 for _ in range(past + 1)])
    cells = random.integers(6, size=past + 1)
    factors = []
    for cell in range(6):
        cells[-1] = cell
        factors.append(np.exp(adaptive_factors(cells, masses)[-1]))
    now = masses[-1] / masses[-1].sum()
    np.testing.assert_allclose(now @ np.array(factors), 1.0, rtol=1e-9)


@given(seed=seeds, name=st.sampled_from(sorted(LIBRARY)))
def test_staked_ratios_are_fair(seed: int, name: str) -> None:
    random = np.random.default_rng(seed)
    p, q = (distribution(random, size=8)[None] + 1e-6 for _ in range(2))
    p, q = p / p.sum(), q / q.sum()
    factor = np.exp(staked(np.log(LIBRARY[name](p, q) / p)))
    assert float((p * factor).sum()) == pytest.approx(1.0, abs=1e-9)


@given(past=st.lists(st.booleans(), max_size=8), odds=st.floats(0.002, 0.998))
def test_acceptance_is_a_fair_bet(past: list[bool], odds: float) -> None:
    odds_of = np.full(len(past) + 1, odds)
    before = acceptance_process(odds_of, np.array([*past, True]))[-2] if past else 0.0
    after = [
        float(np.exp(acceptance_process(odds_of, np.array([*past, taken]))[-1] - before))
        for taken in (False, True)
    ]
    assert (1 - odds) * after[0] + odds * after[1] == pytest.approx(1.0, rel=1e-9)


def test_an_impossible_ratio_costs_no_more_than_the_stake() -> None:
    assert staked(np.array([-np.inf]))[0] == pytest.approx(np.log(0.02))


def test_a_mixture_is_the_mean_of_products() -> None:
    factors = np.array([[2.0, 0.5], [3.0, 0.1]])
    np.testing.assert_allclose(np.exp(log_wealth(np.log(factors))), [1.25, (6.0 + 0.05) / 2])
    assert log_mean_exp(np.array([1000.0, 1000.0])) == 1000.0
