"""Measure cases a second of a run on Ray with two workers against one, in pairs.

    python -m benchmarks.ray_scaling --out reports/cpu/ray-scaling.json

Needs an idle machine with two cores. Each worker is the native engine on one thread. The same two
shards are run by one worker, one after the other, and by two beside each other, in turn; the time
of a run goes from the moment at which Ray is up to the last record that is home.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from equivcheck.cluster.connection import Cluster
from equivcheck.cluster.spread import spread
from equivcheck.core.cases import Suite
from equivcheck.core.load_suites import load_suites, select
from equivcheck.core.settings import EngineSetup, Settings

SHARDS = 2


def main() -> None:
    """Measure and write it down."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--cases", type=int, default=64)
    told = parser.parse_args()
    suites = load_suites(["suites/code.jsonl", "suites/chat.jsonl", "suites/json_sql.jsonl"])
    greedy = [suite.key(case) for suite in suites for case in suite.cases if case.sampling.greedy]
    chosen = select(suites, greedy[: told.cases])
    pairs = []
    for number in range(told.pairs):
        # The first of a pair takes turns, so that a machine that slows down does so for both.
        order = (1, 2) if number % 2 else (2, 1)
        pairs.append({str(workers): measured(chosen, workers=workers) for workers in order})
        print(json.dumps(pairs[-1]), flush=True)
    shares = [each["1"]["seconds"] / each["2"]["seconds"] / 2 for each in pairs]
    found = {
        "cases": sum(len(suite.cases) for suite in chosen),
        "pairs": pairs,
        "share_of_linear": {
            "median": round(statistics.median(shares), 3),
            "least": round(min(shares), 3),
            "most": round(max(shares), 3),
        },
    }
    told.out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def measured(suites: tuple[Suite, ...], *, workers: int) -> dict[str, Any]:
    """One run on a cluster of this machine with room for so many shards at once."""
    import ray

    settings = Settings(
        setup=EngineSetup(device="cpu", threads=1), candidate="native:gamma=4", sampled=None
    )
    said: list[str] = []
    ray.init(num_cpus=workers, include_dashboard=False, log_to_driver=False)
    try:
        with tempfile.TemporaryDirectory() as folder:
            began = time.monotonic()
            cluster = Cluster(address="local", shards=SHARDS)
            spread(settings, suites, Path(folder) / "run", cluster=cluster, say=said.append)
            seconds = time.monotonic() - began
    finally:
        ray.shutdown()
    return {"seconds": round(seconds, 2), "lost": len(said)}


if __name__ == "__main__":
    main()
