"""How often a sound decoder is accused: many gates, each of its own tokens."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.power.detection import taken
from equivcheck.scores import ScoreTable
from equivcheck.statistics.battery import evaluate

ALPHAS = (0.05, 0.01, 0.001, 1e-4)


def crossed_of(table: ScoreTable, *, each: int) -> dict[str, int]:
    """Cut a table into gates of `each` outputs; count how many reach 1/alpha, per alpha."""
    counts: Counter[str] = Counter({"gates": 0, "impossible": 0})
    counts.update({f"{alpha:g}": 0 for alpha in ALPHAS})
    for start in range(0, len(table.keys) - each + 1, each):
        count(counts, taken(table, np.arange(start, start + each)))
    return dict(counts)


def count(counts: Counter[str], table: ScoreTable) -> None:
    """Evaluate one gate."""
    found = evaluate(table, alpha=min(ALPHAS), alpha_pass=1e-3, stages=True)
    counts["gates"] += 1
    counts["impossible"] += int(found.impossible.total > 0)
    for alpha in ALPHAS:
        counts[f"{alpha:g}"] += int(found.combined.highest >= -np.log(alpha))


def interval(hits: int, gates: int) -> tuple[float, float]:
    """Exact 95 % interval of a rate (Clopper and Pearson)."""
    found = stats.binomtest(hits, gates).proportion_ci(0.95, "exact")
    return float(found.low), float(found.high)


def tabular_record(*, gates: int, outputs: int, seed: int) -> dict[str, Any]:
    """Gates on the tabular pair through the real decode loop, under several laws."""
    from equivcheck.testing.tabular import LAWS, TabularPair

    counts: Counter[str] = Counter()
    pair = TabularPair.make(seed=seed)
    each = gates // len(LAWS)
    for turn, law in enumerate(LAWS):
        table = pair.scored(outputs=each * outputs, sampling=law, seed=seed + turn)
        counts.update(crossed_of(table, each=outputs))
    return {"part": "size", "pair": "tabular", "outputs": outputs, "counts": dict(counts)}
