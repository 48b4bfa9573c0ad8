from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equivcheck.core.generation import DraftCounts
from equivcheck.metrics.costs import break_even, costs_of, predicted_speedup
from equivcheck.metrics.speculation import Speculation, speculation_of
from tests.unit.make import make_generation, make_steps

BLOCKS = st.lists(
    st.integers(0, 5).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))), max_size=12
)
PROMPTS = st.lists(BLOCKS, max_size=5)


def speculation(prompts: list[list[tuple[int, int]]]) -> Speculation:
    return speculation_of([make_generation(steps=make_steps(*blocks)) for blocks in prompts])


def test_known_counts() -> None:
    found = speculation([[(4, 4), (4, 1), (0, 0)], [(4, 0), (2, 2)]])
    assert (found.num_prompts, found.num_steps, found.num_spec_steps) == (2, 5, 4)
    assert (found.num_draft_tokens, found.num_accepted_draft_tokens) == (14, 7)
    assert found.draft_acceptance_rate.value == 0.5
    assert found.mean_acceptance_length == 1 + 7 / 4
    assert found.mean_acceptance_length_per_request == pytest.approx((3.5 + 2) / 2)
    assert found.marginal_accept_rates == (0.75, 0.5, 0.25, 0.25)
    assert found.conditional_accept_rates == pytest.approx((0.75, 2 / 3, 0.5, 1.0))
    assert found.wasted_draft_tokens == 7
    assert found.accepted_per_verified == (7 + 4) / (14 + 4)
    # Two blocks ended in a rejection, two ran out of drafts.
    assert found.alpha == pytest.approx(7 / 9)
    assert (found.tokens_per_step, found.drafted_per_step) == (12 / 5, 14 / 5)


def test_undefined_is_none() -> None:
    found = speculation([[(0, 0)]])
    assert found.draft_acceptance_rate.value is None
    assert found.mean_acceptance_length is None
    assert found.mean_acceptance_length_per_request is None
    assert (found.alpha, found.accepted_per_verified) == (None, None)
    assert found.marginal_accept_rates == found.conditional_accept_rates == ()
    assert found.tokens_per_step == 1.0


@settings(max_examples=50)
@given(PROMPTS)
def test_invariants(prompts: list[list[tuple[int, int]]]) -> None:
    found = speculation(prompts)
    assert sum(found.acceptance_histogram.values()) == found.num_spec_steps
    assert (
        sum(accepted * steps for accepted, steps in found.acceptance_histogram.items())
        == found.num_accepted_draft_tokens
    )
    assert found.wasted_draft_tokens + found.num_accepted_draft_tokens == found.num_draft_tokens
    marginal = found.marginal_accept_rates
    assert list(marginal) == sorted(marginal, reverse=True)
    if found.mean_acceptance_length is not None:
        assert found.mean_acceptance_length == pytest.approx(1 + math.fsum(marginal))
    product = 1.0
    for rate, conditional in zip(marginal, found.conditional_accept_rates, strict=True):
        product *= conditional if conditional is not None else 0.0
        assert product == pytest.approx(rate)
    if found.alpha is not None and found.draft_acceptance_rate.value is not None:
        assert found.draft_acceptance_rate.value <= found.alpha + 1e-12


@given(st.floats(0.5, 8.0), st.floats(1.0, 6.0))
def test_at_break_even_the_predicted_speedup_is_one(drafted: float, step_cost: float) -> None:
    rate = break_even(drafted=drafted, step_cost=step_cost)
    predicted = predicted_speedup(rate=rate, drafted=drafted, step_cost=step_cost)
    assert predicted == pytest.approx(1.0)


@given(st.floats(0.0, 0.9), st.floats(0.8, 2.0), st.integers(1, 8))
def test_break_even_is_c_and_the_dearer_verification(c: float, v: float, gamma: int) -> None:
    found = break_even(drafted=gamma, step_cost=gamma * c + v)
    assert found == pytest.approx(c + (v - 1) / gamma)


def test_costs_tell_draft_and_verification_apart() -> None:
    costs = costs_of(
        speculation([[(4, 2)] * 5]),
        step_seconds=0.015,
        baseline_step_seconds=0.01,
        draft_token_seconds=0.001,
    )
    assert (costs.c, costs.v) == pytest.approx((0.1, 1.1))
    assert costs.predicted_speedup == pytest.approx(3 / 1.5)
    assert costs.break_even == pytest.approx(0.125)
    assert costs.measured_over_predicted is None


@pytest.mark.parametrize(("drafts", "known"), [(2, True), (1, False)])
def test_no_break_even_where_hardly_anything_was_drafted(drafts: int, known: bool) -> None:
    steps = [(1, 1)] * drafts + [(0, 0)] * (20 - drafts)
    costs = costs_of(
        speculation([steps]),
        step_seconds=0.0101,
        baseline_step_seconds=0.01,
        draft_token_seconds=None,
    )
    assert (costs.break_even is not None) is known
    assert costs.predicted_speedup == pytest.approx((1 + drafts / 20) / 1.01)


def test_costs_without_times_or_drafts_are_unknown() -> None:
    untimed = costs_of(
        speculation([[(4, 2)]]),
        step_seconds=None,
        baseline_step_seconds=0.01,
        draft_token_seconds=None,
    )
    assert (untimed.step_cost, untimed.break_even, untimed.drafted_per_step) == (None, None, 4.0)
    plain = costs_of(
        speculation([[(0, 0)]]),
        step_seconds=0.01,
        baseline_step_seconds=0.01,
        draft_token_seconds=None,
    )
    assert (plain.predicted_speedup, plain.break_even) == (None, None)


def test_of_totals_nothing_is_made_that_is_per_step() -> None:
    answers = [
        make_generation(
            range(20), counts=DraftCounts(drafted=40, accepted=10, accepted_by_slot=(6, 4))
        ),
        make_generation(range(10), counts=DraftCounts(drafted=20, accepted=5)),
        make_generation(range(5), counts=DraftCounts(drafted=0, accepted=0)),
    ]
    found = speculation_of(answers)
    assert (found.num_prompts, found.num_steps, found.num_spec_steps) == (2, 0, 0)
    assert (found.num_draft_tokens, found.num_accepted_draft_tokens) == (60, 15)
    assert found.num_emitted_tokens == 35
    assert (found.draft_acceptance_rate.value, found.wasted_draft_tokens) == (0.25, 45)
    assert (found.tokens_per_step, found.drafted_per_step, found.alpha) == (None, None, None)
    assert (found.mean_acceptance_length, found.accepted_per_verified) == (None, None)
    assert (found.marginal_accept_rates, found.acceptance_histogram) == ((), {})
    costs = costs_of(found, step_seconds=None, baseline_step_seconds=0.1, draft_token_seconds=None)
    assert costs.break_even is None
