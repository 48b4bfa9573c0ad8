"""Estimates with intervals by prompt: ratios of times, quantiles of latencies. Pure.

Tokens of one prompt rise and fall together, so the prompt is the sample everywhere. numpy and scipy
are imported here: load this room only where something is summarised.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from msgspec import Struct
from scipy import stats
from scipy.special import stdtrit

from equivcheck.core.findings import Interval
from equivcheck.statistics.ratios import LEVEL, geometric_mean

RESAMPLES = 1999
BCA_FROM = 8
"""Fewest prompts for a BCa interval: its acceleration is a skewness over prompts."""
TAIL_FROM = 0.98
"""Quantiles from here on are a tail."""
P99_VALUES = 300
"""Fewest values for an upper bound on a p99: 0.99**n has to be under 5 %."""
P99_RATIO_VALUES = 500
TAIL_LEVEL = 0.99
"""Level of the bootstrap of a ratio of p99. At 95 % it holds the truth in 83 to 88 % of simulated
measurements of 20 to 50 prompts: so few prompts seldom have one as slow as the slowest."""

Array = np.ndarray[Any, np.dtype[np.float64]]


class Estimate(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A number, how sure it is, and on how much it rests."""

    value: float | None = None
    """None: undefined."""
    interval: Interval | None = None
    """95 %, by prompt; None: not estimable from this few."""
    n: int = 0
    """Prompts, or chunks of prompts that were decoded together."""


class Quantile(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A quantile of values and its interval; a side that cannot be estimated is None."""

    p: float
    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0
    """Values."""
    prompts: int = 0


def geometric_mean_ratio(numerators: Sequence[float], denominators: Sequence[float]) -> Estimate:
    """Geometric mean of paired ratios; Student's t on their logarithms, one pair a prompt."""
    mean = geometric_mean([a / b for a, b in zip(numerators, denominators, strict=True)])
    if mean is None:
        return Estimate()
    return Estimate(value=mean.value, interval=mean.interval, n=len(numerators))


def ratio_of_totals(*, numerators: Sequence[float], denominators: Sequence[float]) -> Estimate:
    """``sum(numerators) / sum(denominators)``; BCa bootstrap over pairs (Efron 1987), seeded."""
    above, below = np.asarray(numerators, float), np.asarray(denominators, float)
    if not above.size or not below.sum():
        return Estimate(n=int(above.size))
    value = float(above.sum() / below.sum())
    interval = None
    # All ratios alike; a pair may be 0 of 0.
    if above.size > 1 and np.array_equal(above * below.sum(), above.sum() * below):
        interval = Interval(value, value)
    elif above.size >= BCA_FROM:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = stats.bootstrap(
                (above, below),
                lambda a, b, axis: a.sum(axis=axis) / b.sum(axis=axis),
                paired=True,
                vectorized=True,
                confidence_level=LEVEL,
                n_resamples=RESAMPLES,
                method="BCa",
                rng=np.random.default_rng(0),
            ).confidence_interval
        if np.isfinite(found.low) and np.isfinite(found.high):
            interval = Interval(float(found.low), float(found.high))
    return Estimate(value=value, interval=interval, n=int(above.size))


def quantile_of(groups: Sequence[Sequence[float]], *, p: float) -> Quantile:
    """A quantile of all values, its interval by prompt (Woodruff 1952).

    The share of values up to the quantile is a ratio estimate over prompts with standard error
    ``s``; the interval's ends are the quantiles at ``p - t * s`` and ``p + t * s``. A side that
    would need a share outside the data is None, and so is the upper end of a p99 from fewer than
    300 values.

    Args:
        groups: The values of each prompt.
        p: In (0, 1).
    """
    kept = [np.asarray(group, float) for group in groups if len(group)]
    values = np.sort(np.concatenate(kept)) if kept else np.empty(0)
    if not values.size:
        return Quantile(p=p)
    value, n, prompts = order_statistic(values, p), int(values.size), len(kept)
    low = high = None
    if prompts > 1:
        half = max(_share_half_width(kept, value=value, p=p), _binomial_half_width(p, n))
        low = order_statistic(values, p - half) if p - half > 0 else None
        high = order_statistic(values, p + half) if p + half <= 1 - 1 / n else None
        if p >= TAIL_FROM and n < P99_VALUES:
            high = None
    return Quantile(p=p, value=value, low=low, high=high, n=n, prompts=prompts)


def quantile_ratio(
    above: Sequence[Sequence[float]], below: Sequence[Sequence[float]], *, p: float
) -> Estimate:
    """Ratio of two arms' quantiles; bootstrap over prompts, paired, percentile interval, seeded.

    For a p99 the percentiles are those of a 99 % interval.

    Without an interval from fewer than 500 values a side for a p99, or fewer than `BCA_FROM`
    prompts.
    """
    pairs = [(a, b) for a, b in zip(above, below, strict=True) if len(a) and len(b)]
    if not pairs:
        return Estimate()
    sides = [_Sorted([pair[side] for pair in pairs]) for side in (0, 1)]
    counts = np.ones(len(pairs))
    bottom = sides[1].quantile(counts, p=p)
    value = sides[0].quantile(counts, p=p) / bottom if bottom else None
    enough = p < TAIL_FROM or min(side.values.size for side in sides) >= P99_RATIO_VALUES
    interval = None
    if value is not None and enough and len(pairs) >= BCA_FROM:
        draws = np.random.default_rng(0).multinomial(
            len(pairs), np.full(len(pairs), 1 / len(pairs)), size=RESAMPLES // 2
        )
        ratios = [sides[0].quantile(d, p=p) / sides[1].quantile(d, p=p) for d in draws]
        level = LEVEL if p < TAIL_FROM else TAIL_LEVEL
        low, high = np.quantile(ratios, [(1 - level) / 2, (1 + level) / 2])
        interval = Interval(float(low), float(high))
    return Estimate(value=value, interval=interval, n=len(pairs))


def order_statistic(values: Array, p: float) -> float:
    """The smallest of sorted `values` with at least the share `p` up to it."""
    return float(values[min(values.size - 1, max(0, math.ceil(p * values.size - 1e-9) - 1))])


class _Sorted:
    """Values of many prompts, sorted once, to be weighted by how often a prompt was drawn."""

    def __init__(self, groups: Sequence[Sequence[float]]) -> None:
        values = np.concatenate([np.asarray(group, float) for group in groups])
        owners = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
        order = np.argsort(values, kind="stable")
        self.values, self.owners = values[order], owners[order]

    def quantile(self, counts: Array, *, p: float) -> float:
        reached = np.cumsum(counts[self.owners])
        return float(self.values[np.searchsorted(reached, p * reached[-1] - 1e-9)])


def _share_half_width(groups: Sequence[Array], *, value: float, p: float) -> float:
    sizes = np.array([group.size for group in groups], float)
    below = np.array([(group <= value).sum() for group in groups], float)
    residuals = below - below.sum() / sizes.sum() * sizes
    prompts = len(groups)
    error = math.sqrt(prompts / (prompts - 1) * float((residuals**2).sum())) / float(sizes.sum())
    return float(stdtrit(prompts - 1, 0.5 + LEVEL / 2)) * error


def _binomial_half_width(p: float, n: int) -> float:
    return 1.96 * math.sqrt(p * (1 - p) / n)
