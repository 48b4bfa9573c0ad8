from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from equivcheck.checks.budget import ALPHA, at_least, compare

KEYS = st.sets(st.sampled_from([f"c{index}" for index in range(30)]))


@given(st.integers(0, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_tail_is_scipys(counts: tuple[int, int]) -> None:
    count, of = counts
    wanted = 1.0 if of == 0 else binomtest(count, of, 0.5, alternative="greater").pvalue
    assert at_least(count, of=of) == pytest.approx(wanted)


@given(candidate=KEYS, control=KEYS)
def test_only_discordant_cases_count(candidate: set[str], control: set[str]) -> None:
    every = candidate | control | {"more"}
    result = compare(cases=every, candidate=candidate, control=control)
    fewer = compare(cases=every, candidate=candidate - control, control=control - candidate)
    assert result.p_value == fewer.p_value
    assert (result.candidate, result.control) == (len(candidate), len(control))
    if candidate <= control:
        assert result.p_value == 1.0


def test_cases_outside_the_comparison_do_not_count() -> None:
    result = compare(cases={"a"}, candidate={"a", "b"}, control={"c"})
    assert result == (1, 1, 0, 0.5)


def test_ten_to_none_is_beyond_chance() -> None:
    ten = {str(index) for index in range(10)}
    assert compare(cases=ten, candidate=ten, control=set()).p_value <= ALPHA
    nine = {str(index) for index in range(9)}
    assert compare(cases=ten, candidate=nine, control=set()).p_value > ALPHA
