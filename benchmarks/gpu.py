"""Prove and measure everything that needs a GPU, in one command that can be interrupted.

    python -m benchmarks.gpu [--minutes 10]

Stages run one after the other, the most telling first, each as a process of its own. What one
prints and records goes to ``reports/<device>/``; a stage that succeeded there is not run again, so
the same command goes on where it stopped. ``--rehearse`` runs all stages at toy sizes on whatever
device there is: it shows that the command works and measures nothing.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

PYTHON = sys.executable
EQUIVCHECK = (PYTHON, "-m", "equivcheck")
ASSISTED = "transformers:mode=assisted,scores=false"
PLAIN = "transformers:scores=false"
KEPT_LINES = 40
"""Of a stage's output, in the summary."""


class Stage(NamedTuple):
    """One process."""

    name: str
    command: tuple[str, ...]
    minutes: float
    """After which it is given up."""


class Sizes(NamedTuple):
    """How much is measured."""

    pair: str
    small_draft: str
    positions: int
    positions_alone: int
    tokens: int
    prompts: int
    batches: str
    ladder: tuple[str, ...]


FULL = Sizes(
    pair="tiny@8b+0.15b",
    small_draft="tiny@8b+1b",
    positions=1_000_000,
    positions_alone=100_000,
    tokens=128,
    prompts=6,
    batches="1,2,4,8,16,32,64",
    ladder=("tiny@1b+0.15b", "tiny@3b+0.15b", "tiny@14b+0.15b", "tiny@32b+0.15b"),
)
REHEARSAL = Sizes(
    pair="tiny@15m",
    small_draft="tiny",
    positions=300,
    positions_alone=100,
    tokens=8,
    prompts=1,
    batches="1,2",
    ladder=("tiny",),
)


def stages(sizes: Sizes, *, folder: Path, device: str, dtype: str) -> Iterator[Stage]:
    """Everything there is to do, in order."""
    on = ("--device", device, "--dtype", dtype)
    yield Stage("tests", (PYTHON, "-m", "pytest", "-q", "tests/gpu"), 3)
    for contract in ("fixed-shape", "batch-invariant"):
        spec = f"native:gamma=4,contract={contract}"
        doctor = (*EQUIVCHECK, "doctor", *on, "--pair", sizes.pair, "--candidate", spec)
        yield Stage(f"doctor-{contract}", doctor, 2)
    for rows, positions in ((16, sizes.positions), (1, sizes.positions_alone)):
        yield Stage(
            f"identity-batch-{rows}",
            (
                *(PYTHON, "-m", "benchmarks.identity", "--dtype", dtype),
                *("--batch-size", str(rows), "--positions", str(positions)),
                *("--tokens", str(2 * sizes.tokens), "--out", str(folder / "identity.jsonl")),
            ),
            4,
        )
    yield bench("speed", sizes, pair=sizes.pair, on=on, folder=folder, others=(ASSISTED, PLAIN))
    yield bench(
        "batch", sizes, pair=sizes.pair, on=on, folder=folder, sweep=f"batch={sizes.batches}"
    )
    yield bench("gamma", sizes, pair=sizes.pair, on=on, folder=folder, sweep="gamma=1,2,4,6,7")
    yield bench("draft-1b", sizes, pair=sizes.small_draft, on=on, folder=folder)
    for pair in sizes.ladder:
        yield bench(f"ladder-{slug(pair)}", sizes, pair=pair, on=on, folder=folder)
    profile = (PYTHON, "-m", "benchmarks.step_profile", "--pair", sizes.pair, *on)
    yield Stage("profile", (*profile, "--out", str(folder / "profile.md")), 2)


def bench(
    name: str,
    sizes: Sizes,
    *,
    pair: str,
    on: tuple[str, ...],
    folder: Path,
    others: Sequence[str] = (),
    sweep: str | None = None,
) -> Stage:
    """Measure one pair with ``equivcheck bench``."""
    command = [
        *(*EQUIVCHECK, "bench", "suites", *on, "--pair", pair),
        *("--prompts", str(sizes.prompts), "--tokens", str(sizes.tokens)),
        *("--out", str(folder / f"bench-{name}.jsonl")),
    ]
    for engine in others:
        command += ["--against", engine]
    command += ["--sweep", sweep] if sweep else ["--worst-case"]
    return Stage(name, tuple(command), 4)


def run(stage: Stage, *, folder: Path, seconds: float) -> dict[str, object]:
    """Run a stage; its output goes to a file of its name."""
    log = folder / f"{stage.name}.log"
    started = time.monotonic()
    with log.open("w", encoding="utf-8") as file:
        try:
            done = subprocess.run(
                stage.command, stdout=file, stderr=subprocess.STDOUT, timeout=seconds, check=False
            )
            code: int | None = done.returncode
        except subprocess.TimeoutExpired:
            code = None
    return {
        "stage": stage.name,
        "command": " ".join(stage.command[1:]),
        "exit": code,
        "seconds": round(time.monotonic() - started, 1),
        "torch": str(torch.__version__),
    }


def finished(folder: Path) -> dict[str, dict[str, object]]:
    """Stage to its last record, of those that were run."""
    path = folder / "stages.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return {record["stage"]: record for record in map(json.loads, lines)}


def summarise(folder: Path, names: Sequence[str]) -> str:
    """What every stage ended with, as Markdown."""
    records = finished(folder)
    lines = [f"# Measured on {folder.name}", "", "Written by `python -m benchmarks.gpu`.", ""]
    for name in names:
        record = records.get(name)
        if record is None:
            lines += [f"## {name}", "", "Not run.", ""]
            continue
        ended = "gave up" if record["exit"] is None else f"exit {record['exit']}"
        said = (folder / f"{name}.log").read_text(encoding="utf-8", errors="replace")
        tail = [line.replace("`", "'") for line in said.splitlines()[-KEPT_LINES:]]
        lines += [f"## {name}", "", f"`{record['command']}`: {ended}, {record['seconds']} s", ""]
        lines += ["```text", *tail, "```", ""]
    return "\n".join(lines)


def slug(name: str) -> str:
    """A name that can be a folder's."""
    return re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-")


def main() -> int:
    """Run what is missing, as long as time lasts."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu")
    parser.add_argument("--minutes", type=float, default=10.0, help="stop after these")
    parser.add_argument("--rehearse", action="store_true", help="toy sizes, on any device")
    parser.add_argument("--only", action="append", default=[], metavar="STAGE")
    parser.add_argument("--out", type=Path, help="folder; default: reports/<device>")
    arguments = parser.parse_args()
    cuda = torch.cuda.is_available()
    if not cuda and not arguments.rehearse:
        print("no CUDA device here; --rehearse runs every stage at a toy size", file=sys.stderr)
        return 2
    name = slug(torch.cuda.get_device_name()) if cuda else "rehearsal"
    folder: Path = arguments.out or Path("reports") / name
    folder.mkdir(parents=True, exist_ok=True)
    chosen = [
        stage
        for stage in stages(
            REHEARSAL if arguments.rehearse else FULL,
            folder=folder,
            device="cuda" if cuda else "cpu",
            dtype="bfloat16" if cuda else "float32",
        )
        if not arguments.only or stage.name in arguments.only
    ]
    ends = time.monotonic() + 60 * arguments.minutes
    for stage in chosen:
        if finished(folder).get(stage.name, {}).get("exit") == 0:
            continue
        left = ends - time.monotonic()
        if left < 5:
            break
        record = run(stage, folder=folder, seconds=min(left, 60 * stage.minutes))
        with (folder / "stages.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        print(f"{stage.name}: exit {record['exit']} after {record['seconds']} s", flush=True)
        text = summarise(folder, [each.name for each in chosen])
        (folder / "README.md").write_text(text, encoding="utf-8")
    done = finished(folder)
    return 0 if all(done.get(stage.name, {}).get("exit") == 0 for stage in chosen) else 1


if __name__ == "__main__":
    sys.exit(main())
