from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from equivcheck.core.generation import DraftCounts
from equivcheck.records.records import CANDIDATE
from equivcheck.statistics.acceptance_rate import acceptance_by_workload, acceptance_of
from equivcheck.statistics.ratios import ratio_interval
from tests.unit.make import make_evidence, make_generation, make_steps

BLOCKS = st.lists(st.integers(0, 5).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))))


def test_rates_from_counts() -> None:
    found = acceptance_of(
        [
            make_generation(steps=make_steps((4, 4), (4, 1), (0, 0))),
            make_generation(steps=make_steps((4, 0), (2, 2))),
            make_generation(steps=make_steps((0, 0))),
        ]
    )
    assert (found.prompts, found.num_steps, found.num_spec_steps) == (2, 6, 4)
    assert (found.num_draft_tokens, found.num_accepted_draft_tokens) == (14, 7)
    assert found.rate == 0.5
    assert found.mean_length == 1 + 7 / 4
    assert found.tokens_per_step == (7 + 6) / 6
    assert found.histogram == {0: 1, 1: 1, 2: 1, 4: 1}
    assert found.drafted_lengths == {2: 1, 4: 3}
    assert found.marginal_rates == (0.75, 0.5, 0.25, 0.25)


def test_undefined_is_none() -> None:
    found = acceptance_of([make_generation(), make_generation(steps=make_steps((0, 0)))])
    assert (found.rate, found.mean_length, found.rate_interval) == (None, None, None)
    assert found.marginal_rates == ()
    assert found.tokens_per_step == 1.0
    assert acceptance_of([]).tokens_per_step is None


@given(st.lists(BLOCKS, max_size=5))
def test_the_invariants_of_the_definitions(prompts: list[list[tuple[int, int]]]) -> None:
    found = acceptance_of([make_generation(steps=make_steps(*blocks)) for blocks in prompts])
    assert sum(found.histogram.values()) == found.num_spec_steps
    assert list(found.marginal_rates) == sorted(found.marginal_rates, reverse=True)
    if found.mean_length is not None:
        assert found.mean_length == pytest.approx(1 + math.fsum(found.marginal_rates))
    if found.rate is not None and found.rate_interval is not None:
        assert 0 <= found.rate_interval.low <= found.rate + 1e-12
        assert found.rate - 1e-12 <= found.rate_interval.high <= 1


def test_the_interval_needs_two_prompts() -> None:
    assert ratio_interval(accepted=[3], drafted=[4]) is None
    assert ratio_interval(accepted=[0, 0], drafted=[0, 0]) is None


def test_with_equal_drafts_it_is_students_interval_of_the_mean() -> None:
    accepted = [3, 5, 8, 6, 4]
    interval = ratio_interval(accepted=accepted, drafted=[10] * 5)
    shares = [count / 10 for count in accepted]
    wanted = stats.t.interval(0.95, 4, loc=sum(shares) / 5, scale=stats.sem(shares))
    assert interval == pytest.approx(wanted)


def test_it_covers_where_prompts_differ() -> None:
    """95 % nominal: between 92 and 98 % of 600 runs of 40 prompts, with a fixed seed."""
    draw = random.Random(7)
    covered = 0
    for _ in range(600):
        drafted = [draw.randint(20, 120) for _ in range(40)]
        rates = [draw.betavariate(6, 4) for _ in drafted]
        accepted = [
            sum(draw.random() < rate for _ in range(count))
            for rate, count in zip(rates, drafted, strict=True)
        ]
        interval = ratio_interval(accepted=accepted, drafted=drafted)
        assert interval is not None
        covered += interval.low <= 0.6 <= interval.high
    assert 0.92 <= covered / 600 <= 0.98


def test_by_workload() -> None:
    evidence = make_evidence(
        {
            CANDIDATE: [
                make_generation(key="chat/a", steps=make_steps((2, 1))),
                make_generation(key="code/a", steps=make_steps((4, 4))),
            ]
        }
    )
    found = acceptance_by_workload(evidence)
    assert {name: acceptance.rate for name, acceptance in found.items()} == {
        "chat": 0.5,
        "code": 1.0,
    }
    assert acceptance_by_workload(evidence, arm="repeat") == {}


def test_totals_of_a_request_are_pooled_like_steps() -> None:
    by_step = [make_generation(steps=make_steps((4, 2), (4, 0))), make_generation()]
    totals = [
        make_generation(
            counts=DraftCounts(drafted=8, accepted=2, steps=2, accepted_by_slot=(1, 1))
        ),
        make_generation(),
    ]
    found, same = acceptance_of(by_step), acceptance_of(totals)
    assert (found.rate, found.prompts, found.accepted_by_slot) == (0.25, 1, (1, 1))
    assert (same.rate, same.prompts, same.accepted_by_slot) == (0.25, 1, (1, 1))
    assert (found.tokens_per_step, same.tokens_per_step) == (2.0, None)
    assert (same.by_step, same.mean_length, same.marginal_rates) == (False, None, ())
    mixed = acceptance_of([*by_step, *totals])
    assert (mixed.rate, mixed.by_step, mixed.num_steps) == (0.25, False, 0)
