"""Power of the test over merged shards, against the same test over one run.

    python -m benchmarks.power.shards --out reports/cpu/power-shards.json

A faulty decoder draws many rounds over the cases of the tabular pair. A run takes whole rounds, one
after the other. Of N shards each has its part of the cases, dealt by the sha256 of their keys, and
takes other rounds than the others, as shards draw with seeds of their own; merged, their draws are
tested round by round as one process. Each round begins one gate of each kind, so that all kinds
rest on the same draws. What is compared is the tokens until the distribution is refuted.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.power.detection import ALPHA, alone, taken, times
from benchmarks.tabular import TOKENS, TabularPair
from benchmarks.tabular_distribution import scored
from equivcheck.core.cases import Sampling
from equivcheck.decoding.decoder import Decoder
from equivcheck.faults.catalogue import find
from equivcheck.records.score_table import ScoreTable
from equivcheck.records.shards import dealt

SHARDS = (1, 2, 5)
CASES = 32
FAULTS = ("recovers-from-target", "bonus-from-draft", "none")
SEED = 71
APART = 97
"""Rounds between those that two shards of one gate begin with."""


def main() -> None:
    """Measure and write it down."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=500, help="of a pool; gates of each kind")
    parser.add_argument("--each", type=int, default=4, help="rounds of a gate at most")
    told = parser.parse_args()
    pair, found = TabularPair.make(), []
    for fault in FAULTS:
        kind = Decoder if fault == "none" else find(fault).decoder
        drawn = pair.drawn(
            kind, outputs=told.rounds * CASES, sampling=Sampling(temperature=1.0), seed=SEED
        )
        pool = alone(scored(pair, drawn))
        found.append({"fault": fault} | measured(pool, rounds=told.rounds, each=told.each))
        print(json.dumps(found[-1]), flush=True)
        told.out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def measured(pool: ScoreTable, *, rounds: int, each: int) -> dict[str, Any]:
    """Tokens until the e-process refutes, for each number of shards, over all first rounds."""
    ends = {
        shards: np.array(
            [
                times(taken(pool, merged(first, rounds=rounds, each=each, shards=shards))).wealth
                or np.inf
                for first in range(rounds)
            ]
        )
        for shards in SHARDS
    }
    return {
        "gates": rounds,
        "tokens_of_a_gate": each * CASES * TOKENS,
        "alpha": ALPHA,
        "shards": {str(shards): summed_up(found, ends[1]) for shards, found in ends.items()},
    }


def summed_up(found: NDArray[np.float64], whole: NDArray[np.float64]) -> dict[str, Any]:
    """Figures of one number of shards; the ratio is that of the means, to those of one run."""
    refuted = np.isfinite(found)
    told: dict[str, Any] = {"refuted": int(refuted.sum())}
    both = refuted & np.isfinite(whole)
    if not both.any():
        return told
    random = np.random.default_rng(1)
    pairs = np.stack([found[both], whole[both]])
    again = pairs[:, random.integers(0, pairs.shape[1], (2000, pairs.shape[1]))].mean(axis=2)
    low, high = np.quantile(again[0] / again[1], [0.025, 0.975])
    return told | {
        "mean": round(float(pairs[0].mean()), 1),
        "median": int(np.median(pairs[0])),
        "p95": int(np.quantile(pairs[0], 0.95)),
        "ratio": round(float(pairs[0].mean() / pairs[1].mean()), 3),
        "ratio_95": [round(float(low), 3), round(float(high), 3)],
    }


def merged(first: int, *, rounds: int, each: int, shards: int) -> NDArray[np.int64]:
    """Outputs of one gate in the order in which merged shards are tested: round by round."""
    keys = [f"tabular/{place:02}" for place in range(CASES)]
    order = np.empty((each, CASES), dtype=np.int64)
    for number, own in enumerate(dealt(keys, of=shards, leaders={})):
        places = np.array([place for place, key in enumerate(keys) if key in own])
        turns = (first + number * APART + np.arange(each)) % rounds
        order[:, places] = turns[:, None] * CASES + places
    return order.ravel()


if __name__ == "__main__":
    main()
