"""Compare logits of one-token steps with those of verify windows, teacher-forced, in wide batches.

    python -m benchmarks.windows --pair smollm2 --dtype bfloat16 --rows 64 --out FILE

What `benchmarks.identity` shows with generated text, this shows with random text and many rows a
step, which makes a larger model affordable on a CPU: the windows hold 1 to `width` live tokens in
turn, in other rows and slots than the one-token steps had them.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from equivcheck.core.settings import EngineSetup
from equivcheck.decoding.contract import device_name, probe_step
from equivcheck.engines.native import NativeEngine
from equivcheck.engines.registry import load_engine

TOKENS = 64
"""Positions a row and round: bounds the logits that are kept."""


def main() -> None:
    """Probe round after round, each with other text; append a record each."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.windows")
    parser.add_argument("--pair", default="tiny")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--positions", type=int, default=50_000)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    setup = EngineSetup(pair=arguments.pair, dtype=arguments.dtype, batch_size=1, context=256)
    engine = load_engine("native:gamma=0", setup)
    assert isinstance(engine, NativeEngine)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    compared = seed = 0
    with arguments.out.open("a", encoding="utf-8") as file:
        while compared < arguments.positions:
            started = time.perf_counter()
            probe = probe_step(
                engine.model,
                rows=arguments.rows,
                width=arguments.width,
                tokens=TOKENS,
                seed=seed,
            )
            compared += probe.compared
            record = {
                "pair": arguments.pair,
                "dtype": arguments.dtype,
                "device": device_name(engine.model.device),
                "rows": arguments.rows,
                "width": arguments.width,
                "seed": seed,
                "positions": probe.compared,
                "positions_with_other_bits": probe.differing,
                "seconds": round(time.perf_counter() - started, 1),
            }
            file.write(json.dumps(record) + "\n")
            file.flush()
            print(json.dumps(record), flush=True)
            seed += 1


if __name__ == "__main__":
    main()
