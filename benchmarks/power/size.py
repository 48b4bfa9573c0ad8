"""How often a sound decoder is accused: many gates, each of its own tokens."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.power.detection import taken
from benchmarks.tabular import CONTEXTS, TOKENS, TabularPair, counts
from benchmarks.tabular_distribution import scored, variation
from equivcheck.core.cases import Sampling
from equivcheck.core.rules import RULES, Rule
from equivcheck.engines.native_options import RULE_CLASSES
from equivcheck.records.score_table import ScoreTable
from equivcheck.statistics.battery import evaluate

ALPHAS = (0.05, 0.01, 0.001, 1e-4)
LEVEL = 1e-3
"""Probability that the bound on a context's distribution is wrong."""
STAGED: tuple[Rule, ...] = tuple(rule for rule, facts in RULES.items() if facts.stages)
"""Rules whose drafts are tested, too."""
SAMPLINGS = (
    Sampling(temperature=1.0),
    Sampling(temperature=0.7),
    Sampling(temperature=0.8, top_p=0.9),
    Sampling(temperature=1.0, top_k=5),
    Sampling(temperature=1.2, min_p=0.1),
)


def crossed_of(table: ScoreTable, *, each: int) -> dict[str, int]:
    """Cut a table into gates of `each` outputs; count how many reach 1/alpha, per alpha."""
    found: Counter[str] = Counter({"gates": 0, "impossible": 0})
    found.update({f"{alpha:g}": 0 for alpha in ALPHAS})
    for start in range(0, len(table.keys) - each + 1, each):
        count(found, taken(table, np.arange(start, start + each)))
    return dict(found)


def count(found_in: Counter[str], table: ScoreTable) -> None:
    """Evaluate one gate."""
    found = evaluate(table, alpha=min(ALPHAS), alpha_pass=1e-3, stages=True)
    found_in["gates"] += 1
    found_in["impossible"] += int(found.impossible.total > 0)
    for alpha in ALPHAS:
        found_in[f"{alpha:g}"] += int(found.combined.highest >= -np.log(alpha))


def interval(hits: int, gates: int) -> tuple[float, float]:
    """Exact 95 % interval of a rate (Clopper and Pearson)."""
    found = stats.binomtest(hits, gates).proportion_ci(0.95, "exact")
    return float(found.low), float(found.high)


def tabular_record(rule: Rule, *, gates: int, outputs: int, seed: int) -> dict[str, Any]:
    """Gates on the tabular pair through the real decode loop, under several distributions."""
    crossed: Counter[str] = Counter()
    pair, facts = TabularPair.make(seed=seed), RULES[rule]
    for turn, sampling in enumerate(SAMPLINGS):
        drawn = pair.drawn(
            outputs=gates // len(SAMPLINGS) * outputs,
            sampling=sampling,
            seed=seed + turn,
            rule=RULE_CLASSES[rule](),
        )
        table = scored(pair, drawn, one_hot=facts.certain, blocks=facts.carries)
        crossed.update(crossed_of(table, each=outputs))
    return {
        "part": "size",
        "pair": "tabular",
        "rule": rule,
        "outputs": outputs,
        "counts": dict(crossed),
    }


def variation_record(*, tokens: int, seed: int) -> dict[str, Any]:
    """How close the whole distribution of each context is proven to be to the target's."""
    pair, distribution, chunks = TabularPair.make(seed=seed), Sampling(temperature=1.0), 20
    each = tokens // CONTEXTS // chunks
    total = sum(
        counts(
            pair.drawn(
                outputs=round(1.15 * tokens / chunks / TOKENS), sampling=distribution, seed=chunk
            ),
            each=each,
        )
        for chunk in range(chunks)
    )
    found = variation(np.asarray(total), pair.distribution(distribution), level=LEVEL)
    return {"part": "variation", "pair": "tabular", "level": LEVEL} | dataclasses.asdict(found)
