"""Each decision of the rules by hand: what has to come, what is a near tie, what cannot come."""

from __future__ import annotations

import math

import numpy as np
import pytest

from equivcheck.records.replays import NO_TOKEN, Came
from equivcheck.scoring.rule import NOISE_SLACK, LogprobBounds, draw, residual, toss, weigh

P = np.log([0.5, 0.3, 0.2])
Q = np.log([0.2, 0.3, 0.5])
SILENT = np.zeros(3)


def distribution(logs: np.ndarray, *, slack: float = 1e-3) -> LogprobBounds:
    return LogprobBounds(low=logs - slack, exact=logs, high=logs + slack)


def tossed(coin: float, *, odds: float, taken: bool, slack: float = 1e-3) -> Came:
    """The draft has q = 1/2 and p = odds / 2."""
    exact = math.log(odds / 2)
    target = (exact - slack, exact, exact + slack)
    return toss(coin, target=target, draft=math.log(0.5), taken=taken).came


def test_a_draft_is_taken_where_coin_times_q_is_below_p() -> None:
    assert tossed(0.59, odds=0.6, taken=True) is Came.AS_IT_MUST
    assert tossed(0.61, odds=0.6, taken=False) is Came.AS_IT_MUST
    assert tossed(0.59, odds=0.6, taken=False) is Came.OTHER_COIN
    assert tossed(0.61, odds=0.6, taken=True) is Came.OTHER_COIN


def test_a_likelier_draft_is_always_taken() -> None:
    assert tossed(1 - 2.0**-24, odds=1.2, taken=True) is Came.AS_IT_MUST
    assert tossed(1 - 2.0**-24, odds=1.2, taken=False) is Came.OTHER_COIN


@pytest.mark.parametrize("taken", [True, False])
def test_a_coin_within_the_arithmetic_is_a_near_tie(taken: bool) -> None:
    below, above = 0.6 * math.exp(-5e-4), 0.6 * math.exp(5e-4)
    assert tossed(below, odds=0.6, taken=taken) is (Came.TIE_KEPT if taken else Came.TIE_FLIPPED)
    assert tossed(above, odds=0.6, taken=taken) is (Came.TIE_FLIPPED if taken else Came.TIE_KEPT)


def test_a_draft_without_probability_is_never_taken() -> None:
    never = -1e9
    for taken, came in ((True, Came.OTHER_COIN), (False, Came.AS_IT_MUST)):
        assert toss(1e-9, target=(never, never, never), draft=-1.0, taken=taken).came is came


def test_the_largest_of_distribution_and_noise_comes() -> None:
    noise = np.array([0.0, 0.0, 2.0])
    found = draw(distribution(P), noise, token=2)
    assert (found.came, found.token, found.gap) == (Came.AS_IT_MUST, 2, 0.0)
    other = draw(distribution(P), noise, token=0)
    assert (other.came, other.token) == (Came.OTHER_TOKEN, 2)
    assert other.gap == pytest.approx(math.log(0.2) + 2 - math.log(0.5))


def test_a_draw_within_the_arithmetic_is_a_near_tie() -> None:
    noise = np.array([0.0, math.log(0.5 / 0.3) - 5e-4, -9.0])
    assert draw(distribution(P), noise, token=0).came is Came.TIE_KEPT
    assert draw(distribution(P), noise, token=1).came is Came.TIE_FLIPPED
    assert draw(distribution(P, slack=1e-5), noise, token=1).came is Came.OTHER_TOKEN
    assert draw(distribution(P, slack=1e-5), noise, token=0).came is Came.AS_IT_MUST


def test_noise_itself_is_never_exact() -> None:
    noise = np.array([0.0, math.log(0.5 / 0.3) - NOISE_SLACK, -9.0])
    assert draw(distribution(P, slack=0.0), noise, token=1).came is Came.TIE_FLIPPED


def test_a_constant_on_the_whole_distribution_changes_nothing() -> None:
    noise = np.array([0.3, 1.0, -0.2])
    for token in range(3):
        one, other = (
            draw(distribution(P), noise, token=token),
            draw(distribution(P + 7), noise, token=token),
        )
        assert (one.came, one.token) == (other.came, other.token)
        assert one.gap == pytest.approx(other.gap)


def test_a_token_that_is_cut_cannot_come() -> None:
    cut = np.array([P[0], P[1], -np.inf])
    noise = np.array([0.0, 0.0, 20.0])
    found = draw(distribution(cut), noise, token=2)
    assert (found.came, found.token, found.gap) == (Came.OTHER_TOKEN, 0, math.inf)


def test_the_residual_is_what_the_target_gives_beyond_the_draft() -> None:
    left = residual(distribution(P, slack=0.0), distribution(Q, slack=0.0))
    np.testing.assert_allclose(np.exp(left.exact), [0.3, 0.0, 0.0])
    assert draw(left, SILENT, token=0).came is Came.AS_IT_MUST
    assert draw(left, SILENT, token=2).came is Came.OTHER_TOKEN


def test_cancellation_widens_the_interval_of_a_residual() -> None:
    """The second token has p = q: whether anything is left there, only arithmetic can say."""
    left = residual(distribution(P), distribution(Q))
    assert left.low[1] == -np.inf < left.high[1]
    assert np.exp(left.high[0]) - np.exp(left.low[0]) == pytest.approx(2e-3 * 0.7, rel=0.01)


def test_where_nothing_is_left_nobody_is_accused() -> None:
    left = residual(distribution(P, slack=0.0), distribution(P, slack=0.0))
    for token in range(3):
        found = draw(left, SILENT, token=token)
        assert found.came in (Came.TIE_KEPT, Came.TIE_FLIPPED)
        assert found.gap == 0.0
    assert toss(0.5, target=(0.0, 0.0, 0.0), draft=0.0, taken=True).token == NO_TOKEN


def weighed(told: float, *, slack: float = 1e-5, token: int = 0) -> Came:
    return weigh(
        target=distribution(P, slack=slack),
        draft=distribution(Q, slack=slack),
        token=token,
        told=told,
    ).came


def test_a_replacement_is_weighed_by_what_p_has_beyond_q() -> None:
    assert weighed(math.log(0.3)) is Came.AS_IT_MUST
    # Half a unit in the last place of bfloat16, which has eight binary digits.
    for wrong in (math.log(0.3) + 2.0**-9, math.log(0.3) - 2.0**-9, math.log(0.5)):
        assert weighed(wrong) is Came.OTHER_WEIGHT


def test_a_weight_within_the_arithmetic_is_excused() -> None:
    """What moves p and q by so much moves what is left of them by more."""
    assert weighed(math.log(0.3) + 2.0**-9, slack=1e-3) is Came.AS_IT_MUST
    assert weighed(math.log(1e-6), slack=1e-3, token=1) is Came.AS_IT_MUST
    assert weighed(math.log(1e-2), slack=1e-3, token=1) is Came.OTHER_WEIGHT


def test_nothing_can_replace_a_draft_where_q_is_larger() -> None:
    found = weigh(
        target=distribution(P, slack=1e-5),
        draft=distribution(Q, slack=1e-5),
        token=2,
        told=math.log(0.1),
    )
    assert (found.came, found.token, found.gap) == (Came.OTHER_WEIGHT, NO_TOKEN, math.inf)
