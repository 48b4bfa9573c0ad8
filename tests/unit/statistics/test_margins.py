"""The bet against a margin is valid for every distribution beyond it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.statistics.tables import Distribution_, leak, temperature, tilt


@pytest.mark.parametrize(
    ("distribution", "values"),
    [
        pytest.param(leak, (0.01, 0.05, 0.2, 0.6, 1.0), id="leak"),
        pytest.param(temperature, (1.02, 1.05, 1.2, 2.0), id="hot"),
        pytest.param(temperature, (0.98, 0.95, 0.8, 0.5), id="cold"),
        pytest.param(tilt, (0.03, 0.1, 0.3, 1.0), id="towards-draft"),
        pytest.param(tilt, (-0.03, -0.1, -0.3, -1.0), id="away-from-draft"),
    ],
)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_truth_beyond_the_margin_is_covered(
    distribution: Callable[[float], Distribution_], values: tuple[float, ...], seed: int
) -> None:
    random = np.random.default_rng(seed)
    p, q = (random.dirichlet(np.ones(8), size=1) + 1e-4 for _ in range(2))
    p, q = p / p.sum(), q / q.sum()
    for place, margin in enumerate(values):
        bet = p / distribution(margin)(p, q)
        for truth in values[place:]:
            assert float((distribution(truth)(p, q) * bet).sum()) <= 1.0 + 1e-9
