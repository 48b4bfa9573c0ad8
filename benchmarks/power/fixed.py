"""Classical tests of a fixed number of tokens, at the gate's own alpha: what each would take.

Tokens for 95 % power follow from the effect that a pool shows. A test whose effect is not at least
clear (p < .001 on the whole pool) gets None: the pool was too small to tell.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

from equivcheck.records.score_table import ScoreTable, Stage, Support
from equivcheck.statistics.excess import FIRST_LEANING
from equivcheck.statistics.serial import positions

ALPHA, POWER, CLEAR = 1e-4, 0.95, 1e-3
LAGS = range(1, 6)
TENTHS = 10
KS_REACH = math.sqrt(-math.log(ALPHA / 2) / 2) + 0.82
"""Kolmogorov's critical value, and 1.645 standard deviations of at most 1/2."""

Vector = NDArray[np.float64]


def output_tests(scores: ScoreTable) -> dict[str, float | None]:
    """Tokens that tests of the output alone take."""
    inside = scores.support == Support.INSIDE
    mass = scores.bin_mass[inside].astype(np.float64)
    leaning = mass[:, FIRST_LEANING:].sum(axis=1)
    lean = (scores.bin[inside] >= FIRST_LEANING) - leaning
    surprise = (scores.surprisal - scores.entropy)[inside].astype(np.float64)
    found = {
        "draft-lean z": by_mean(lean, null=float(np.mean(leaning * (1 - leaning)))),
        "surprisal z": by_mean(surprise, null=float(surprise.var())),
        "chi-square, 30 bins": by_cells(scores.bin[inside], mass),
        "lags": by_lags(scores),
    }
    for name in ("vocabulary", "rank", "ratio"):
        found[f"PIT-KS, {name}"] = by_uniformity(getattr(scores, f"pit_{name}")[inside])
    return found


def stage_tests(scores: ScoreTable) -> dict[str, float | None]:
    """Output tokens that chi-squares of single stages take."""
    stage, odds = scores.stage, scores.accept_prob.astype(np.float64)
    tried = (stage == Stage.ACCEPTED) | (stage == Stage.RECOVERED)
    recovered = (stage == Stage.RECOVERED) & scores.recovered_mass.any(axis=1)
    bonus = (stage == Stage.BONUS) & (scores.support == Support.INSIDE)
    fair = tried & (odds > 1e-3) & (odds < 1 - 1e-3)
    tenth = np.minimum((odds[fair] * TENTHS).astype(np.int64), TENTHS - 1)
    coins = np.zeros((len(tenth), 2 * TENTHS))
    coins[np.arange(len(tenth)), 2 * tenth] = 1 - odds[fair]
    coins[np.arange(len(tenth)), 2 * tenth + 1] = odds[fair]
    accepted = (stage[fair] == Stage.ACCEPTED).astype(np.int64)
    tests = {
        "chi-square of drafts": (tried, scores.draft_bin[tried], scores.draft_mass[tried]),
        "chi-square of acceptance": (fair, 2 * tenth + accepted, coins),
        "chi-square of replacements": (
            recovered,
            scores.recovered_bin[recovered],
            scores.recovered_mass[recovered],
        ),
        "chi-square of bonus tokens": (bonus, scores.bin[bonus], scores.bin_mass[bonus]),
    }
    found = {}
    for name, (rows, cells, mass) in tests.items():
        tokens = by_cells(cells, mass.astype(np.float64)) if rows.sum() > 100 else None
        found[name] = None if tokens is None else tokens * scores.rows / int(rows.sum())
    return found


def by_mean(deviations: Vector, *, null: float) -> float | None:
    """A z-test; `null` is the variance of one deviation under the null."""
    mean = float(deviations.mean())
    if abs(mean) * math.sqrt(len(deviations) / null) < stats.norm.isf(CLEAR / 2):
        return None
    reach = stats.norm.isf(ALPHA / 2) * math.sqrt(null)
    return float(((reach + stats.norm.ppf(POWER) * deviations.std()) / mean) ** 2)


def by_cells(cells: NDArray[np.integer], mass: NDArray[np.float64]) -> float | None:
    """A chi-square of counts whose distributions differ from row to row."""
    mass = mass / mass.sum(axis=1, keepdims=True)
    difference = np.bincount(cells, minlength=mass.shape[1]) - mass.sum(axis=0)
    spread = np.diag(mass.sum(axis=0)) - mass.T @ mass
    inverse = np.linalg.pinv(spread, rcond=1e-9, hermitian=True)
    freedom = int(np.linalg.matrix_rank(spread, tol=1e-9 * np.abs(spread).max(), hermitian=True))
    return by_chi_square(float(difference @ inverse @ difference), freedom, len(cells))


def by_chi_square(statistic: float, freedom: int, rows: int) -> float | None:
    """Rows at which a statistic that grows with the rows is seen."""
    if freedom == 0 or stats.chi2.sf(statistic, freedom) > CLEAR:
        return None
    critical = stats.chi2.isf(ALPHA, freedom)
    needed = optimize.brentq(lambda nc: stats.ncx2.sf(critical, freedom, nc) - POWER, 1e-3, 1e4)
    return float(needed) * rows / max(statistic - freedom, 1e-9)


def by_uniformity(uniform: NDArray[np.float32]) -> float | None:
    """Kolmogorov and Smirnov's test."""
    found = stats.kstest(uniform.astype(np.float64), "uniform")
    return None if found.pvalue > CLEAR else float((KS_REACH / found.statistic) ** 2)


def by_lags(scores: ScoreTable) -> float | None:
    """Autocorrelation of transforms within outputs, over five lags."""
    noise = math.sqrt(12) * (scores.pit_ratio.astype(np.float64) - 0.5)
    place, statistic = positions(scores), 0.0
    for lag in LAGS:
        products = (noise[lag:] * noise[:-lag])[place[lag:] >= lag]
        statistic += len(products) * float(products.mean()) ** 2
    return by_chi_square(statistic, len(LAGS), scores.rows)
