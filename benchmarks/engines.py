"""``python -m benchmarks.engines``: the gate on engines that people ship, and its table.

Each row is one ``equivcheck run`` in ``reports/engines``, whose ``equivcheck.toml`` says where the
engines' environments are. What a row found is kept beside it, and rows that are there already are
not run again.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.engines_page import page
from benchmarks.engines_rows import DISTRIBUTION, FEW, HANDFUL, HANDFUL_OF, PRESSURE, ROWS, Row
from equivcheck.pairs.export_gguf import Precision, export_gguf
from tests.drafting_checkpoints import write_all
from tests.engines.untrained_heads import write_heads

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "reports" / "engines"
COMMAND = (sys.executable, "-m", "equivcheck")

GGUF: dict[str, tuple[str, Precision]] = {
    "f32": ("tiny", "f32"),
    "f16": ("tiny", "f16"),
    "smollm2": ("smollm2", "bf16"),
    "smollm2-f32": ("smollm2", "f32"),
}
"""Folder to a pair and the numbers of its files."""


def main() -> int:
    """Run what is asked for and has not been, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", default=[], help="Part of a row's name.")
    parser.add_argument("--table", action="store_true", help="Only write the table.")
    given = parser.parse_args()
    write_greedy_suites(FOLDER / "files" / "greedy", suites=f"{FEW} {PRESSURE}")
    write_without_top_k(FOLDER / "files" / "no-top-k")
    write_heads(FOLDER / "files" / "heads")
    for name, (pair, precision) in GGUF.items():
        if not (FOLDER / "files" / name).exists():
            export_gguf(pair, FOLDER / "files" / name, precision=precision)
    write_all(FOLDER / "files" / "drafting")
    for row in ROWS:
        wanted = not given.only or any(part in row.name for part in given.only)
        if wanted and not given.table and not path_of(row).exists():
            print(f"== {row.name}: equivcheck {shlex.join(row.command)}", flush=True)
            run(row)
    found = [json.loads(path.read_text()) for row in ROWS if (path := path_of(row)).exists()]
    (FOLDER / "README.md").write_text("\n".join(page(found)) + "\n")
    return 0


def write_greedy_suites(folder: Path, *, suites: str) -> None:
    """Write bundled suites without their sampled cases."""
    folder.mkdir(parents=True, exist_ok=True)
    for suite in suites.split():
        lines = (ROOT / "suites" / f"{suite}.jsonl").read_text().splitlines()
        kept = [
            line for line in lines if not json.loads(line).get("sampling", {}).get("temperature")
        ]
        (folder / f"{suite}.jsonl").write_text("\n".join(kept) + "\n")
    head, *cases = (folder / "chat.jsonl").read_text().splitlines()
    named = json.dumps(json.loads(head) | {"workload": HANDFUL})
    (folder / f"{HANDFUL}.jsonl").write_text("\n".join([named, *cases[:HANDFUL_OF]]) + "\n")


def write_without_top_k(folder: Path) -> None:
    """Write the sampled suite without the cut that ends vLLM's engine on a CPU."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = (ROOT / "suites" / f"{DISTRIBUTION}.jsonl").read_text().splitlines()
    kept = [line for line in lines if "top_k" not in json.loads(line).get("sampling", {})]
    (folder / f"{DISTRIBUTION}.jsonl").write_text("\n".join(kept) + "\n")


def path_of(row: Row) -> Path:
    """Where its figures are."""
    return FOLDER / f"{row.name}.json"


def run(row: Row) -> None:
    """Run one row, and keep its report and the figures of the table."""
    out = Path("..") / "runs" / "engines" / row.name
    started = time.monotonic()
    done = subprocess.run(
        [*COMMAND, *row.command, "--out", str(out), "--fresh"],
        cwd=FOLDER,
        check=False,
        stderr=subprocess.PIPE,
        text=True,
    )
    print(done.stderr, file=sys.stderr, end="")
    minutes = (time.monotonic() - started) / 60
    figures: dict[str, Any] = {
        "name": row.name,
        "command": f"equivcheck {shlex.join(row.command)}",
        "exit": done.returncode,
        "minutes": round(minutes, 1),
    }
    told = subprocess.run(
        [*COMMAND, "report", str(out), "--json"], capture_output=True, check=False, cwd=FOLDER
    )
    # Exit code 2: a setting, an engine or a file was refused, and there is no verdict.
    if done.returncode == 2 or not told.stdout:
        figures["refused"] = done.stderr.strip().splitlines()[-1].removeprefix("equivcheck: ")
        path_of(row).write_text(json.dumps(figures, indent=1) + "\n")
        return
    view = json.loads(told.stdout)
    figures["versions"] = versions(FOLDER / out / "records.jsonl")
    figures |= {
        field: view[field]
        for field in ("headline", "workloads", "law", "gates", "near_ties", "environment")
    }
    path_of(row).write_text(json.dumps(figures, indent=1) + "\n")
    (FOLDER / f"{row.name}.txt").write_text((FOLDER / out / "report.txt").read_text())


def versions(records: Path) -> dict[str, str]:
    """What the candidate's engine says of its versions."""
    with records.open() as lines:
        for line in lines:
            record = json.loads(line)
            if record["type"] == "header" and "candidate" in record.get("arms", {}):
                found: dict[str, str] = record["arms"]["candidate"].get("versions", {})
                return found
            if record["type"] == "opened" and record.get("arm") == "candidate":
                return dict(record["capabilities"].get("versions", {}))
    return {}


if __name__ == "__main__":
    sys.exit(main())
