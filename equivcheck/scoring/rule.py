"""The rules, replayed: with known noise, which token had to come.

Written from docs/decoder.md, in fp64; `decoding/verification.py` is the other implementation, and
they share no code. Every distribution comes as an interval, since the engine's arithmetic may have
moved it; only what falls the other way throughout the interval is another decision, all else a near
tie.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray

from equivcheck.records.replays import NO_TOKEN, Came

Floats = NDArray[np.float64]

NOISE_SLACK = 2.0**-15
"""Nats by which an engine's fp32 arithmetic may move noise, and what it is added to. The
exponential -ln(1 - u) is good to 2 units in the last place, 2.4e-7 in the logarithm; Gumbel noise
and the logarithms that can win lie within 32 nats, where such a unit is 1.9e-6, and are rounded at
most four times: 7.9e-6 in all. Four times that is excused."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class LogprobBounds:
    """Log-probabilities of one distribution, [vocab] each; -inf where a token is ruled out."""

    low: Floats
    exact: Floats
    """By the scorer's own arithmetic."""
    high: Floats


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReplayedDecision:
    """One decision."""

    came: Came
    token: int
    gap: float
    """Nats from the decision that had to be made."""


def toss(
    coin: float, *, target: tuple[float, float, float], draft: float, taken: bool
) -> ReplayedDecision:
    """Replay the coin about one draft: it is accepted where ``coin * q < p``.

    Args:
        coin: in (0, 1).
        target: ln p of the draft, at least, exactly and at most.
        draft: ln q of it.
        taken: whether the draft was accepted.
    """
    low, exact, high = (logprob - draft - math.log(coin) for logprob in target)
    if taken == (exact > 0):
        sure = low > NOISE_SLACK if taken else high < -NOISE_SLACK
        return ReplayedDecision(
            came=Came.AS_IT_MUST if sure else Came.TIE_KEPT, token=NO_TOKEN, gap=0.0
        )
    beyond = high < -NOISE_SLACK if taken else low > NOISE_SLACK
    came = Came.OTHER_COIN if beyond else Came.TIE_FLIPPED
    return ReplayedDecision(came=came, token=NO_TOKEN, gap=abs(exact))


def draw(distribution: LogprobBounds, noise: Floats, *, token: int) -> ReplayedDecision:
    """Replay a draw: the largest of log-probability plus Gumbel noise comes.

    Args:
        distribution: a constant on all of it changes nothing.
        noise: [vocab].
        token: that came.
    """
    exact = distribution.exact + noise
    best = int(exact.argmax())
    low, high = distribution.low + noise, distribution.high + noise
    if token == best:
        rival = np.delete(high, best).max(initial=-np.inf)
        sure = low[best] > rival + 2 * NOISE_SLACK
        return ReplayedDecision(
            came=Came.AS_IT_MUST if sure else Came.TIE_KEPT, token=best, gap=0.0
        )
    surest = np.delete(low, token).max(initial=-np.inf)
    came = Came.OTHER_TOKEN if surest > high[token] + 2 * NOISE_SLACK else Came.TIE_FLIPPED
    # Where nothing is left of a residual, every token is as good.
    gap = float(exact[best] - exact[token]) if exact[best] > -np.inf else 0.0
    return ReplayedDecision(came=came, token=best, gap=gap)


def weigh(
    *, target: LogprobBounds, draft: LogprobBounds, token: int, told: float
) -> ReplayedDecision:
    """Compare what the engine drew a replacement by with p - q.

    Args:
        target: ln p.
        draft: ln q.
        token: that came.
        told: the engine's ln(p - q) of it.
    """

    def weight(more: float, less: float) -> float:
        beyond = math.exp(more) - math.exp(less)
        return math.log(beyond) if beyond > 0 else -math.inf

    # Both are rounded in fp32, and what is left of them where they are close is rounding.
    low = weight(target.low[token] - NOISE_SLACK, draft.high[token] + NOISE_SLACK)
    high = weight(target.high[token] + NOISE_SLACK, draft.low[token] - NOISE_SLACK)
    if low - NOISE_SLACK <= told <= high + NOISE_SLACK:
        return ReplayedDecision(came=Came.AS_IT_MUST, token=token, gap=0.0)
    exact = weight(target.exact[token], draft.exact[token])
    return ReplayedDecision(came=Came.OTHER_WEIGHT, token=NO_TOKEN, gap=abs(told - exact))


def carried(distribution: LogprobBounds, weight: tuple[float, float, float]) -> LogprobBounds:
    """A distribution times a weight, whose logarithm is at least, exactly and at most so much."""
    low, exact, high = weight
    return LogprobBounds(
        low=distribution.low + low, exact=distribution.exact + exact, high=distribution.high + high
    )


def passing(left: LogprobBounds, weight: tuple[float, float, float]) -> tuple[float, float, float]:
    """Logarithm of the probability that a prefix passes, at least, exactly and at most.

    h = r / (r + 1 - p), which grows with both (Sun et al., arXiv 2403.10444, algorithm 2).

    Args:
        left: the distribution of what follows the prefix, not normalised; its mass is r.
        weight: ln p of the prefix.
    """

    def log_odds(logs: Floats, log_weight: float) -> float:
        mass, lost = float(np.exp(logs).sum()), -math.expm1(log_weight)
        if lost <= 0:
            return 0.0
        return math.log(mass / (mass + lost)) if mass > 0 else -math.inf

    low, exact, high = weight
    return log_odds(left.low, low), log_odds(left.exact, exact), log_odds(left.high, high)


def residual(target: LogprobBounds, draft: LogprobBounds) -> LogprobBounds:
    """What the target gives beyond the draft, unnormalised: max(p - q, 0)."""

    def beyond(more: Floats, less: Floats) -> Floats:
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(np.maximum(np.exp(more) - np.exp(less), 0.0)))

    return LogprobBounds(
        low=beyond(target.low, draft.high),
        exact=beyond(target.exact, draft.exact),
        high=beyond(target.high, draft.low),
    )
