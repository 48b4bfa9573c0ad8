from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from equivcheck.checks.near_ties import first_beyond, limit_at, ulp, weigh
from equivcheck.core.findings import Outcome, Reason
from equivcheck.core.settings import EngineSetup, Settings
from equivcheck.records.divergence import Pair, first_divergence
from equivcheck.records.records import CANDIDATE, TARGET
from tests.unit.make import make_arbitration, make_gaps, make_generation

BF16 = Settings(setup=EngineSetup(dtype="bfloat16"), near_tie_ulps=2.0)
"""Near logits of 20: one ulp is 0.125, the limit 0.25 nats."""
TARGET_IDS, OTHER_IDS = (10, 11, 12, 13), (10, 11, 77, 78)


@pytest.mark.parametrize(
    ("magnitude", "spacing"),
    [(16.0, 0.125), (31.9, 0.125), (32.0, 0.25), (15.99, 0.0625), (-20.0, 0.125), (1.0, 2**-7)],
)
def test_ulp_of_bfloat16(magnitude: float, spacing: float) -> None:
    assert ulp("bfloat16", magnitude) == spacing


@given(st.floats(-60000, 60000, width=16))
def test_ulp_of_float16_is_numpys(value: float) -> None:
    assert ulp("float16", value) == float(np.spacing(np.float16(abs(value))))


@given(st.floats(-(2.0**100), 2.0**100, width=32))
def test_ulp_of_float32_is_numpys(value: float) -> None:
    assert ulp("float32", value) == float(np.spacing(np.float32(abs(value))))


def make_pair(
    target: tuple[int, ...] = TARGET_IDS,
    other: tuple[int, ...] = OTHER_IDS,
    *,
    target_scores: list[tuple[float, int, float]] | None = None,
    other_scores: list[tuple[float, int, float]] | None = None,
) -> Pair:
    one = make_generation(target, scores=target_scores)
    two = make_generation(other, scores=other_scores)
    position = first_divergence(one, two)
    return Pair(
        key="code/one", arm=CANDIDATE, base=TARGET, target=one, other=two, position=position
    )


TIE = make_arbitration(
    context="shared",
    target_piece=" a",
    arm_piece=" b",
    best=12,
    best_logprob=-0.7,
    arm_gaps=make_gaps(0, 0, 0.05, 0.1),
)


def scores(at_fork: tuple[float, int, float]) -> list[tuple[float, int, float]]:
    return [(-0.1, 5, -3.0), (-0.1, 5, -3.0), at_fork, (-0.1, 5, -3.0)]


def test_a_near_tie_in_every_respect_is_numerics() -> None:
    pair = make_pair(
        target_scores=scores((-0.7, 77, -0.75)), other_scores=scores((-0.69, 12, -0.7))
    )
    weighed = weigh(pair, TIE, BF16)
    assert (weighed.outcome, weighed.reason) == (Outcome.PASS, Reason.NUMERICS)
    assert weighed.because == "a near tie: 0.05 nats apart in the reference, 0.25 allowed"


def test_scores_are_not_needed_for_it() -> None:
    assert weigh(make_pair(), TIE, BF16).reason is Reason.NUMERICS


DIVERGED = {
    "own-worse": (
        make_pair(other_scores=scores((-0.8, 12, -0.7))),
        {},
        "candidate chose a token 0.1 nats below the best of its own scores",
    ),
    "target-own-worse": (
        make_pair(target_scores=scores((-0.8, 77, -0.7))),
        {},
        "target chose a token 0.1 nats below the best of its own scores",
    ),
    "wide-gap": (
        make_pair(),
        {"arm_logprob": -1.0},
        "the reference puts the two tokens 0.3 nats apart, 0.25 allowed",
    ),
    "sure-of-itself": (
        make_pair(other_scores=scores((-0.1, 12, -2.0))),
        {},
        "no tie in candidate's own scores: 1.9 nats ahead, 0.25 allowed",
    ),
    "worse-later": (
        make_pair(),
        {"arm_gaps": make_gaps(0, 0, 0.05, 0.3)},
        "candidate's token 3 lies 0.3 nats under the reference's best",
    ),
    "target-worse": (
        make_pair(),
        {"target_gaps": make_gaps(0, 4, 0, 0)},
        "target's token 1 lies 4 nats under the reference's best",
    ),
    "stopped-early": (
        make_pair(other=(10, 11)),
        {},
        "target ended with 'length' after 4 tokens, candidate with 'length' after 2",
    ),
}


@pytest.mark.parametrize(("pair", "changes", "because"), DIVERGED.values(), ids=DIVERGED)
def test_one_unmet_condition_is_a_divergence(
    pair: Pair, changes: dict[str, object], because: str
) -> None:
    weighed = weigh(pair, msgspec.structs.replace(TIE, **changes), BF16)
    assert weighed == (Outcome.FAIL, Reason.DIVERGED, because)


def test_own_scores_convict_without_arbitration() -> None:
    pair = make_pair(other_scores=scores((-0.8, 12, -0.7)))
    assert weigh(pair, None, BF16).outcome is Outcome.FAIL


UNKNOWN = {
    "other-position": ({"position": 1}, "no independent pass has scored the two tokens"),
    "no-logprob": ({"target_logprob": None}, "a token's log-probability is missing"),
    "no-magnitude": ({"magnitude": None}, "the logits' magnitude is missing"),
    "no-gaps": ({"arm_gaps": ()}, "0 of candidate's 4 tokens have a gap"),
    "gap-without-magnitude": (
        {"target_gaps": make_gaps(0, 0.1, 0, 0, magnitude=None)},
        "the magnitude behind a gap of target's is missing",
    ),
}


@pytest.mark.parametrize(("changes", "because"), UNKNOWN.values(), ids=UNKNOWN)
def test_missing_evidence_is_inconclusive(changes: dict[str, object], because: str) -> None:
    weighed = weigh(make_pair(), msgspec.structs.replace(TIE, **changes), BF16)
    assert (weighed.outcome, weighed.reason) == (Outcome.INCONCLUSIVE, Reason.NO_ARBITRATION)
    assert because in weighed.because


def test_no_arbitration_is_inconclusive() -> None:
    assert weigh(make_pair(), None, BF16).outcome is Outcome.INCONCLUSIVE


def test_the_limit_grows_with_dtype_and_magnitude() -> None:
    assert limit_at(20.0, BF16) == 0.25
    assert limit_at(40.0, BF16) == 0.5
    assert limit_at(20.0, Settings()) == 8 * 2**-19


def test_the_same_gap_is_a_bug_in_float32() -> None:
    assert weigh(make_pair(), TIE, Settings()).outcome is Outcome.FAIL


def test_first_beyond_needs_a_magnitude_only_under_a_gap() -> None:
    assert first_beyond(make_gaps(0, 0, magnitude=None), BF16) is None
    assert first_beyond(make_gaps(0.2, 0.26, 9), BF16) == 1
