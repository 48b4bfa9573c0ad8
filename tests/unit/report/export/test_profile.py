"""The profile holds to its schema's two validations, and says where nothing was measured."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from equivcheck.records.records import CANDIDATE, TARGET
from equivcheck.report.export.profile import TOLERANCE, conditional, profile_of, validation
from tests.unit.make import make_capabilities, make_evidence, make_generation, make_steps

STEPS = st.lists(
    st.integers(0, 6).flatmap(lambda drafted: st.tuples(st.just(drafted), st.integers(0, drafted))),
    min_size=1,
    max_size=12,
)


def profile(*requests: list[tuple[int, int]], engine: str = "native:gamma=4") -> dict[str, object]:
    answers = [
        make_generation(key=f"code/c{number}", steps=make_steps(*steps))
        for number, steps in enumerate(requests)
    ]
    return profile_of(
        make_evidence(
            {TARGET: answers, CANDIDATE: answers},
            arms={
                TARGET: make_capabilities(),
                CANDIDATE: make_capabilities(engine=engine, num_speculative_tokens=4),
            },
            models={"draft": "/home/someone/models/org/draft-1b sha256:ab", "target": "tiny/t"},
        )
    )


def test_positions_and_lengths() -> None:
    told = profile([(4, 4), (4, 1)], [(4, 0), (4, 1)])
    assert told["marginal_accept_rates"] == [0.75, 0.25, 0.25, 0.25]
    assert told["conditional_accept_rates"] == [0.75, 0.333333, 1.0, 1.0]
    assert told["acceptance_length_histogram"] == {"1": 1, "2": 2, "5": 1}
    assert (told["mean_accept_length"], told["num_speculative_tokens"]) == (2.5, 4)
    assert told["mean_accept_length_per_request"] == 2.5
    assert told["accept_length_by_k"] == {"4": 2.5}
    assert told["accept_length_model"] == "chain_analytic"
    assert told["measured"] is True


def test_steps_of_several_lengths_say_nothing_of_other_lengths() -> None:
    assert profile([(4, 1), (2, 1)])["accept_length_model"] == "measured_per_k"
    lookup = profile([(4, 1)], engine="native:gamma=4,drafter=lookup")
    assert (lookup["method"], lookup["accept_length_model"]) == ("prompt_lookup", "measured_per_k")


def test_without_drafts_nothing_is_measured() -> None:
    told = profile([(0, 0), (0, 0)])
    assert (told["measured"], told["mean_accept_length"], told["validation"]) == (False, None, None)
    assert told["accept_length_by_k"] == {}
    assert told["marginal_accept_rates"] == [0.0] * 4


def test_no_folder_is_published() -> None:
    told = profile([(4, 1)])
    assert told["draft_checkpoint"] == {"id": "draft-1b sha256:ab"}
    assert told["target_model"] == {"id": "tiny/t"}
    assert "someone" not in str(told)


@given(st.lists(STEPS, min_size=1, max_size=5))
def test_what_was_measured_passes_both_validations(requests: list[list[tuple[int, int]]]) -> None:
    told = profile(*requests)
    checks = told["validation"]
    if checks is None:
        assert not any(drafted for steps in requests for drafted, _ in steps)
        return
    assert isinstance(checks, dict)
    assert checks["mean_consistency"]["passed"]
    assert checks["mean_consistency"]["abs_delta"] <= 1e-6
    assert checks["marginal_monotonicity"] == {"passed": True, "violations": []}


def test_the_validations_can_fail() -> None:
    cut = validation(2.5, [0.75, 0.25])
    assert not cut["mean_consistency"]["passed"]
    assert cut["mean_consistency"]["tolerance"] == TOLERANCE
    rising = validation(2.0, [0.4, 0.6])
    assert rising["mean_consistency"]["passed"]
    assert rising["marginal_monotonicity"]["violations"] == [
        {"position": 1, "value": 0.6, "previous": 0.4}
    ]


@given(st.lists(st.floats(0.01, 1), min_size=1, max_size=8))
def test_conditionals_multiply_back(rates: list[float]) -> None:
    marginal = sorted(rates, reverse=True)
    product = 1.0
    for rate, expected in zip(conditional(marginal), marginal, strict=True):
        product *= rate
        assert product == pytest.approx(expected)
