from __future__ import annotations

import math
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from equivcheck.metrics.estimates import (
    geometric_mean_ratio,
    order_statistic,
    quantile_of,
    quantile_ratio,
    ratio_of_totals,
)

TIMES = st.floats(1e-3, 1e3)
PAIRS = st.lists(st.tuples(TIMES, TIMES), min_size=2, max_size=20)


@given(PAIRS)
def test_the_geometric_mean_turns_over_with_the_ratio(pairs: list[tuple[float, float]]) -> None:
    above, below = [a for a, _ in pairs], [b for _, b in pairs]
    there, back = geometric_mean_ratio(above, below), geometric_mean_ratio(below, above)
    assert there.value is not None
    assert back.value is not None
    assert there.value * back.value == pytest.approx(1.0)
    assert there.interval is not None
    assert there.interval.low <= there.value * (1 + 1e-9)
    assert there.value <= there.interval.high * (1 + 1e-9)


def test_the_interval_is_students_on_the_logarithms() -> None:
    above, below = [2.0, 3.0, 2.5, 4.0], [1.0, 2.0, 1.0, 1.5]
    logs = [math.log(a / b) for a, b in zip(above, below, strict=True)]
    expected = stats.t.interval(0.95, 3, statistics.fmean(logs), stats.sem(logs))
    interval = geometric_mean_ratio(above, below).interval
    assert interval is not None
    assert tuple(interval) == pytest.approx([math.exp(end) for end in expected])


@settings(max_examples=20)
@given(PAIRS)
def test_the_ratio_of_totals_lies_between_the_ratios(pairs: list[tuple[float, float]]) -> None:
    above, below = [a for a, _ in pairs], [b for _, b in pairs]
    value = ratio_of_totals(numerators=above, denominators=below).value
    assert value is not None
    ratios = [a / b for a, b in pairs]
    assert min(ratios) * (1 - 1e-9) <= value <= max(ratios) * (1 + 1e-9)


def test_a_bootstrap_needs_eight_prompts_and_is_seeded() -> None:
    above = [1.0, 2.0, 3.0, 2.0, 4.0, 1.5, 2.5, 3.5]
    below = [1.0, 1.5, 2.0, 1.0, 3.0, 1.0, 2.0, 2.0]
    assert ratio_of_totals(numerators=above[:7], denominators=below[:7]).interval is None
    assert ratio_of_totals(numerators=above, denominators=below) == ratio_of_totals(
        numerators=above, denominators=below
    )
    assert ratio_of_totals(numerators=above, denominators=below).interval is not None


def test_nothing_is_undefined_and_no_number() -> None:
    assert geometric_mean_ratio([], []).value is None
    assert ratio_of_totals(numerators=[], denominators=[]).value is None
    assert quantile_of([], p=0.5).value is None
    assert quantile_ratio([], [], p=0.5).value is None


@given(st.lists(TIMES, min_size=1, max_size=50), st.floats(0.01, 0.99))
def test_an_order_statistic_has_its_share_below(values: list[float], p: float) -> None:
    import numpy as np

    found = order_statistic(np.sort(values), p)
    assert sum(value <= found for value in values) >= p * len(values) - 1e-6
    assert sum(value < found for value in values) < p * len(values) + 1e-6


def test_a_p99_of_few_values_has_no_upper_end() -> None:
    few = quantile_of([[float(at)] for at in range(299)], p=0.99)
    assert (few.n, few.high) == (299, None)
    assert few.value == 296.0
    many = quantile_of([[float(at)] for at in range(2000)], p=0.99)
    assert many.value == 1979.0
    assert many.low is not None
    assert many.high is not None
    assert many.low < 1979.0 < many.high


def test_one_prompt_gives_a_quantile_without_ends() -> None:
    found = quantile_of([[float(at) for at in range(1000)]], p=0.5)
    assert (found.value, found.low, found.high) == (499.0, None, None)


def test_clustered_values_widen_the_interval() -> None:
    apart = quantile_of([[float(at)] for at in range(400)], p=0.5)
    together = quantile_of([[float(at)] * 40 for at in range(10)], p=0.5)
    assert None not in (apart.low, apart.high, together.low, together.high)
    assert (together.high or 0.0) - (together.low or 0.0) > 2
    assert ((apart.high or 0.0) - (apart.low or 0.0)) / 400 < 0.15


def test_a_ratio_of_p99_needs_500_values() -> None:
    few = [[float(at + 1) for at in range(40)]] * 12
    many = [[float(at + 1) for at in range(50)]] * 12
    assert quantile_ratio(few, few, p=0.99).interval is None
    assert quantile_ratio(few, few, p=0.5).interval is not None
    found = quantile_ratio([[2 * x for x in group] for group in many], many, p=0.99)
    assert found.value == pytest.approx(2.0)
    assert found.interval is not None
    assert tuple(found.interval) == pytest.approx((2.0, 2.0))
