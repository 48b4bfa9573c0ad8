"""Prove and measure everything that needs a GPU, in one command that can be interrupted.

    python -m benchmarks.gpu [--minutes 10]

What there is to do, in which order, is in `gpu_stages`; `gpu_worker` does it. Records and output
of every stage go to ``reports/<device>/``, with a README.md that answers the questions at its head
(`gpu_summary`, `gpu_page`). A stage that succeeded there is not run again, so the same command goes
on where it stopped; what was given up comes after what was never tried. ``--again`` begins anew, as
after a change of the code. ``--rehearse`` runs all stages at toy sizes on whatever device there is:
it shows that the command works and measures nothing. This process never touches the device, and
those that time anything take turns.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.gpu_page import readme
from benchmarks.gpu_stages import FULL, REHEARSAL, Place, Stage, anew, slug, stages
from benchmarks.gpu_worker import LEAST_SECONDS, STAGES, append, ended

GRACE = 20.0
"""Seconds over the limits of a process, for starting and for leaving."""
LOOK = """
import json, torch
cuda = torch.cuda.is_available()
device = torch.cuda.get_device_properties(0) if cuda else None
print(json.dumps([device.name, device.total_memory] if device else None))
"""


class Device(NamedTuple):
    """The GPU here."""

    name: str
    memory: int


def device_here() -> Device | None:
    """Asked for in another process, which gives the device back."""
    done = subprocess.run([sys.executable, "-c", LOOK], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    return None if found is None else Device(*found)


def finished(folder: Path) -> dict[str, dict[str, Any]]:
    """Stage to its last record, of those that were run."""
    path = folder / STAGES
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return {record["stage"]: record for record in map(json.loads, lines)}


def pending(
    chosen: Sequence[Stage], done: Mapping[str, Mapping[str, Any]]
) -> Iterator[list[Stage]]:
    """Stages without success, in processes: first those that were never tried."""
    for tried in (False, True):
        left = [
            stage
            for stage in chosen
            if (stage.name in done) is tried and done.get(stage.name, {}).get("exit") != 0
        ]
        for _, together in groupby(left, key=lambda stage: stage.group or stage.name):
            yield list(together)


def rounds(processes: Iterable[list[Stage]]) -> Iterator[list[list[Stage]]]:
    """What runs at a time: all that may run beside others, or one process alone."""
    for beside, several in groupby(processes, key=lambda together: together[0].beside):
        if beside:
            yield list(several)
        else:
            yield from ([together] for together in several)


def run(together: Sequence[Stage], *, folder: Path, ends: float) -> None:
    """Run stages in one process; none goes on after `ends`, by the monotonic clock."""
    wanted = [
        {"name": stage.name, "command": stage.command, "seconds": 60 * stage.minutes}
        for stage in together
    ]
    before, started = finished(folder), time.monotonic()
    worker = (sys.executable, "-m", "benchmarks.gpu_worker", str(folder), str(ends))
    limit = min(ends - started, 60 * sum(stage.minutes for stage in together)) + GRACE
    try:
        told = "\n".join(map(json.dumps, wanted))
        died = bool(
            subprocess.run(worker, input=told, text=True, timeout=limit, check=False).returncode
        )
    except subprocess.TimeoutExpired:
        died = True
    if not died:
        return
    after, seconds = finished(folder), time.monotonic() - started
    for stage in together:
        if after.get(stage.name) == before.get(stage.name):
            # It ended in this one; those behind it were not begun.
            append(folder, ended(stage.name, stage.command, code=None, seconds=seconds))
            break


def write_readme(folder: Path, everything: Sequence[Stage]) -> None:
    """From what is recorded so far."""
    names = [stage.name for stage in everything]
    (folder / "README.md").write_text(readme(folder, names, finished(folder)), encoding="utf-8")


def main() -> int:
    """Run what is missing, as long as time lasts."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu")
    parser.add_argument("--minutes", type=float, default=10.0, help="stop after these")
    parser.add_argument("--rehearse", action="store_true", help="toy sizes, on any device")
    parser.add_argument("--only", action="append", default=[], metavar="STAGE")
    parser.add_argument("--again", action="store_true", help="also what succeeded before")
    parser.add_argument("--list", action="store_true", help="only say what would be run")
    parser.add_argument("--summarise", action="store_true", help="only write the README anew")
    parser.add_argument("--out", type=Path, help="folder; default: reports/<device>")
    arguments = parser.parse_args()
    ends = time.monotonic() + 60 * arguments.minutes
    device = device_here()
    if device is None and not (arguments.rehearse or arguments.list or arguments.summarise):
        print("no CUDA device here; --rehearse runs every stage at a toy size", file=sys.stderr)
        return 2
    folder: Path = arguments.out or Path("reports") / slug(device.name if device else "rehearsal")
    place = Place(
        folder=folder,
        device="cuda" if device else "cpu",
        dtype="bfloat16" if device else "float32",
        memory=device.memory if device else None,
    )
    everything = list(stages(REHEARSAL if arguments.rehearse else FULL, place))
    chosen = [stage for stage in everything if not arguments.only or stage.name in arguments.only]
    if arguments.again:
        chosen = [anew(stage) for stage in chosen]
    if arguments.list:
        print("\n".join(f"{stage.minutes:g} min  {stage.name}" for stage in chosen))
        return 0
    folder.mkdir(parents=True, exist_ok=True)
    before = {} if arguments.again else finished(folder)
    for processes in [] if arguments.summarise else rounds(pending(chosen, before)):
        if ends - time.monotonic() < LEAST_SECONDS:
            break
        with ThreadPoolExecutor(max_workers=len(processes)) as pool:
            list(pool.map(partial(run, folder=folder, ends=ends), processes))
        write_readme(folder, everything)
    if arguments.summarise:
        write_readme(folder, everything)
    done = finished(folder)
    return 0 if all(done.get(stage.name, {}).get("exit") == 0 for stage in chosen) else 1


if __name__ == "__main__":
    sys.exit(main())
