"""How often the 95 % intervals of a measurement hold the truth, by simulation.

    python -m benchmarks.coverage --out reports/cpu/coverage.md

Prompts differ in how well they are drafted and how fast they run, and tokens of one prompt rise and
fall together: the clustering that breaks intervals over tokens. Each round draws new prompts from
the same population, whose true value is known from 400,000 of them; a method covers if its interval
holds that value. Intervals over tokens stand beside, to show what the clustering costs.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from equivcheck.core.findings import Interval
from equivcheck.metrics.estimates import (
    geometric_mean_ratio,
    quantile_of,
    quantile_ratio,
    ratio_of_totals,
)
from equivcheck.statistics.ratios import ratio_interval

Array = np.ndarray[Any, np.dtype[np.float64]]
PROMPTS = (10, 20, 28, 50)
GAMMA, STEPS = 4, 36
POPULATION = 400_000
TRUE_PROMPTS = 20_000
"""Prompts whose tokens give the true quantiles."""


class Prompts(NamedTuple):
    """Some prompts, as one measurement would see them."""

    plain: Array
    """Seconds of the whole answer, [prompts]."""
    fast: Array
    accepted: Array
    drafted: Array
    tokens_plain: Array
    """Seconds of each token, [prompts, STEPS]."""
    tokens_fast: Array


def draw(rng: np.random.Generator, prompts: int) -> Prompts:
    """Acceptance is beta-distributed over prompts, times log-normal over prompts and steps."""
    rate = rng.beta(4, 5, size=prompts)
    run = rng.random((prompts, STEPS, GAMMA)) < rate[:, None, None]
    accepted = np.cumprod(run, axis=-1).sum(axis=-1)
    pace = np.exp(rng.normal(0, 0.25, size=(prompts, 1)))
    jitter = np.exp(rng.normal(0, 0.1, size=(2, prompts, STEPS)))
    plain_step, fast_step = pace * jitter[0], 1.3 * pace * jitter[1]
    length = (accepted + 1).sum(axis=-1)
    return Prompts(
        plain=plain_step.mean(axis=-1) * length,
        fast=fast_step.sum(axis=-1),
        accepted=accepted.sum(axis=-1).astype(float),
        drafted=np.full(prompts, float(GAMMA * STEPS)),
        tokens_plain=plain_step,
        tokens_fast=fast_step / (accepted + 1),
    )


def geometric(seen: Prompts) -> Interval | None:
    """Of the speedup, over prompts."""
    return geometric_mean_ratio(seen.plain.tolist(), seen.fast.tolist()).interval


def totals(seen: Prompts) -> Interval | None:
    """Of the ratio of total times, over prompts."""
    return ratio_of_totals(numerators=seen.plain.tolist(), denominators=seen.fast.tolist()).interval


def acceptance(seen: Prompts) -> Interval | None:
    """Of the acceptance rate, over prompts."""
    return ratio_interval(
        accepted=[int(count) for count in seen.accepted],
        drafted=[int(count) for count in seen.drafted],
    )


def acceptance_by_token(seen: Prompts) -> Interval:
    """Wilson's, as if drafts were independent."""
    found = stats.binomtest(int(seen.accepted.sum()), int(seen.drafted.sum()))
    interval = found.proportion_ci(method="wilson")
    return Interval(float(interval.low), float(interval.high))


def median(seen: Prompts) -> Interval | None:
    """Of the p50 of seconds a token, over prompts."""
    found = quantile_of(seen.tokens_fast.tolist(), p=0.5)
    if found.low is None or found.high is None:
        return None
    return Interval(found.low, found.high)


def median_by_token(seen: Prompts) -> Interval:
    """Order statistics, as if tokens were independent."""
    values = np.sort(seen.tokens_fast, axis=None)
    half = 1.96 * math.sqrt(0.25 / values.size)
    low, high = (int(values.size * (0.5 + sign * half)) for sign in (-1, 1))
    return Interval(float(values[low]), float(values[high]))


def p99_ratio(seen: Prompts) -> Interval | None:
    """Of the ratio of both arms' p99, over prompts."""
    return quantile_ratio(seen.tokens_fast.tolist(), seen.tokens_plain.tolist(), p=0.99).interval


METHODS: dict[str, Callable[[Prompts], Interval | None]] = {
    "speedup, geometric mean (paired t)": geometric,
    "speedup, ratio of totals (BCa)": totals,
    "acceptance rate (clusters, t)": acceptance,
    "acceptance rate over tokens (Wilson)": acceptance_by_token,
    "p50 of seconds a token (Woodruff, clusters)": median,
    "p50 of seconds a token over tokens (order statistics)": median_by_token,
    "ratio of p99 (bootstrap over prompts)": p99_ratio,
}


def truths(rng: np.random.Generator) -> dict[str, float]:
    """What each method aims at."""
    parts = [draw(rng, TRUE_PROMPTS) for _ in range(POPULATION // TRUE_PROMPTS)]
    plain, fast, accepted, drafted = (
        np.concatenate([np.asarray(part[field]) for part in parts]) for field in range(4)
    )
    tokens_plain, tokens_fast = parts[0].tokens_plain, parts[0].tokens_fast
    rate = float(accepted.sum() / drafted.sum())
    middle = float(np.quantile(tokens_fast, 0.5))
    return dict(
        zip(
            METHODS,
            (
                float(np.exp(np.log(plain / fast).mean())),
                float(plain.sum() / fast.sum()),
                rate,
                rate,
                middle,
                middle,
                float(np.quantile(tokens_fast, 0.99) / np.quantile(tokens_plain, 0.99)),
            ),
            strict=True,
        )
    )


def main() -> None:
    """Simulate, and write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.coverage")
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    aims = truths(rng)
    held = {name: dict.fromkeys(PROMPTS, 0) for name in METHODS}
    given = {name: dict.fromkeys(PROMPTS, 0) for name in METHODS}
    for prompts in PROMPTS:
        for _ in range(arguments.rounds):
            seen = draw(rng, prompts)
            for name, method in METHODS.items():
                interval = method(seen)
                if interval is not None:
                    given[name][prompts] += 1
                    held[name][prompts] += interval.low <= aims[name] <= interval.high
    arguments.out.write_text(table(held, given, rounds=arguments.rounds), encoding="utf-8")


def table(held: dict[str, dict[int, int]], given: dict[str, dict[int, int]], *, rounds: int) -> str:
    """Markdown."""
    error = 100 * math.sqrt(0.95 * 0.05 / rounds)
    lines = [
        "# Coverage of the intervals",
        "",
        f"`python -m benchmarks.coverage`: {rounds} simulated measurements a cell, nominal 95 %, "
        f"standard error of a cell {error:.1f} points. Share of the intervals given that hold the "
        "true value; where fewer were given, that many in brackets.",
        "",
        f"Simulated: {STEPS} steps a prompt of gamma = {GAMMA}, conditional acceptance Beta(4, 5) "
        "over prompts, pace log-normal over prompts (sigma 0.25) and steps (sigma 0.1).",
        "",
        f"| interval | {' | '.join(f'm = {prompts}' for prompts in PROMPTS)} |",
        f"|---|{'---:|' * len(PROMPTS)}",
    ]
    for name in METHODS:
        cells = [cell(held[name][m], given[name][m], rounds=rounds) for m in PROMPTS]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def cell(held: int, given: int, *, rounds: int) -> str:
    """A share in per cent."""
    if not given:
        return "not estimable"
    share = f"{100 * held / given:.1f} %"
    return share if given == rounds else f"{share} ({given})"


if __name__ == "__main__":
    main()
