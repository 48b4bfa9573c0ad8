"""Measure size and power of the test of the sampled distribution, and write them down.

    python -m benchmarks.power --out reports/cpu/power.jsonl

One line a stream; a line that is there is not measured again. The summary is written beside it,
as Markdown, whenever a line has come.
"""

from __future__ import annotations

import argparse
import functools
import json
from pathlib import Path
from typing import Any

from benchmarks.power.measure import power_record, sound_record, sound_stream
from benchmarks.power.plan import PLANS
from benchmarks.power.size import STAGED, tabular_record, variation_record
from benchmarks.power.summary import summary
from equivcheck.core.settings import EngineSetup


def name_of(record: dict[str, Any]) -> str:
    """What tells a record from others."""
    return ":".join(
        str(record.get(field, "")) for field in ("part", "fault", "law", "pair", "rule")
    )


def main() -> None:
    """Measure what is missing."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.power")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--most", type=int, default=60_000, help="tokens of a fault at most")
    parser.add_argument("--replicates", type=int, default=100, help="orders of a pool")
    parser.add_argument("--sound-rounds", type=int, default=16, help="of the reference at T=1")
    parser.add_argument("--other-rounds", type=int, default=6, help="of the other references")
    parser.add_argument("--gates", type=int, default=1000, help="null gates on the tabular pair")
    parser.add_argument(
        "--tabular-tokens", type=int, default=1_600_000, help="for the bound on the distribution"
    )
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--faults", nargs="*", default=[plan.fault for plan in PLANS])
    arguments = parser.parse_args()
    setup = EngineSetup(batch_size=arguments.batch_size, context=128, threads=1)
    out: Path = arguments.out
    out.parent.mkdir(parents=True, exist_ok=True)
    records: list[dict[str, Any]] = []
    if out.exists():
        records = [json.loads(line) for line in out.read_text().splitlines()]

    def keep(record: dict[str, Any]) -> None:
        records.append(record)
        with out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        out.with_suffix(".md").write_text(summary(records), encoding="utf-8")
        print(json.dumps(record), flush=True)

    @functools.cache
    def reference(distribution: str) -> Any:
        rounds = arguments.sound_rounds if distribution == "T=1" else arguments.other_rounds
        return sound_stream(distribution, rounds=rounds, setup=setup)

    done = {name_of(record) for record in records}
    for plan in PLANS:
        name = name_of({"part": "power", "fault": plan.fault, "law": plan.distribution})
        if plan.fault in arguments.faults and name not in done:
            if name_of({"part": "sound", "law": plan.distribution}) not in done:
                keep(sound_record(plan.distribution, reference(plan.distribution)))
                done.add(name_of({"part": "sound", "law": plan.distribution}))
            keep(
                power_record(
                    plan,
                    reference(plan.distribution),
                    most=arguments.most,
                    replicates=arguments.replicates,
                    setup=setup,
                )
            )
    for rule in STAGED if arguments.gates else ():
        if name_of({"part": "size", "pair": "tabular", "rule": rule}) not in done:
            keep(tabular_record(rule, gates=arguments.gates, outputs=16, seed=7))
    if arguments.tabular_tokens and name_of({"part": "variation", "pair": "tabular"}) not in done:
        keep(variation_record(tokens=arguments.tabular_tokens, seed=7))
    out.with_suffix(".md").write_text(summary(records), encoding="utf-8")


if __name__ == "__main__":
    main()
