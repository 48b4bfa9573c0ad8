"""Prove and measure everything that needs a GPU, in one command that can be interrupted.

    python -m benchmarks.gpu [--minutes 10]

What there is to do, in which order, is in `gpu_stages`; `gpu_worker` does it. Records and output
of every stage go to ``reports/<device>/``, with a README.md that answers the questions at its head
(`gpu_summary`, `gpu_page`). A stage that this very code has run there with success is not run
again, so the same command goes on where it stopped; what failed or took too long comes after what
was never tried. ``--again`` forgets what was run. ``--rehearse`` runs all stages at toy sizes on
whatever device there is: it shows that the command works and measures nothing. This process never
touches the device, and those that time anything take turns.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock, Timeout

from benchmarks.gpu_page import readme
from benchmarks.gpu_stages import FULL, REHEARSAL, Place, Stage, anew, slug, stages
from benchmarks.stage_records import (
    Ended,
    append,
    code_of,
    keep,
    last_records,
    record_of,
    records,
    told,
)
from equivcheck.core.errors import unknown_name

LOCK = ".gpu.lock"
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


def pending(chosen: Sequence[Stage], done: Mapping[str, Ended]) -> Iterator[list[Stage]]:
    """Stages that this code has not run with success, in processes: first the untried ones."""
    ours = {
        stage.name: record
        for stage in chosen
        if (record := done.get(stage.name))
        and record.code == code_of(stage.command[0])
        and record.is_of(stage.command)
    }
    for tried in (False, True):
        left = [
            stage if stage.name in ours else anew(stage)
            for stage in chosen
            if not (stage.name in ours and ours[stage.name].exit == 0)
            and failed(stage, ours.get(stage.name)) is tried
        ]
        for _, together in groupby(left, key=lambda stage: stage.group or stage.name):
            yield list(together)


def failed(stage: Stage, record: Ended | None) -> bool:
    """Whether a stage was tried for all of its time, or to its end, without success.

    One that was interrupted, or for which no time was left, goes on like one that was not tried.
    """
    if record is None or not record.ended:
        return False
    return bool(record.exit) or (record.exit is None and record.seconds >= 60 * stage.minutes)


def rounds(processes: Iterable[list[Stage]]) -> Iterator[list[list[Stage]]]:
    """What runs at a time: all that may run beside others, or one process alone."""
    for beside, several in groupby(processes, key=lambda together: together[0].beside):
        if beside:
            yield list(several)
        else:
            yield from ([together] for together in several)


def run(together: Sequence[Stage], *, folder: Path, ends: float) -> None:
    """Run stages in one process; none goes on after `ends`, by the monotonic clock.

    A stage that takes its process with it is given up, and those behind it get another.
    """
    left = list(together)
    while left and ends - time.monotonic() >= left[0].least:
        started, before = time.monotonic(), len(records(folder))
        code = worked(left, folder=folder, ends=ends)
        if code == 0:
            return
        places = {stage.name: at for at, stage in enumerate(left)}
        # Other processes write there, too. Without a record it ended before it began the first.
        ours = [record for record in records(folder)[before:] if record.stage in places]
        last = ours[-1] if ours else record_of(left[0].name, left[0].command, ended=False)
        at = places[last.stage]
        if not last.ended:
            seconds = time.monotonic() - started
            ended = record_of(last.stage, left[at].command, exit=code, seconds=seconds)
            append(folder, ended)
            print(told(folder, ended), flush=True)
        left = left[at + 1 :]


def worked(together: Sequence[Stage], *, folder: Path, ends: float) -> int | None:
    """The exit code of a process that runs stages; None: it had to be stopped."""
    wanted = [
        {
            "name": stage.name,
            "command": stage.command,
            "seconds": 60 * stage.minutes,
            "least": stage.least,
        }
        for stage in together
    ]
    words = (str(folder), str(ends), str(os.getpid()))
    worker = (sys.executable, "-m", "benchmarks.gpu_worker", *words)
    limit = min(ends - time.monotonic(), 60 * sum(stage.minutes for stage in together)) + GRACE
    lines = "\n".join(map(json.dumps, wanted))
    try:
        # In a session of its own: an interrupt is for this process, which takes that one along.
        done = subprocess.run(
            worker, input=lines, text=True, timeout=limit, check=False, start_new_session=True
        )
    except subprocess.TimeoutExpired:
        return None
    return done.returncode


def write_readme(folder: Path, everything: Sequence[Stage]) -> None:
    """From what is recorded so far."""
    names = [stage.name for stage in everything]
    (folder / "README.md").write_text(readme(folder, names, last_records(folder)), encoding="utf-8")


def main() -> int:
    """Run what is missing, as long as time lasts."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu")
    parser.add_argument("--minutes", type=float, default=10.0, help="stop after these")
    parser.add_argument("--rehearse", action="store_true", help="toy sizes, on any device")
    parser.add_argument(
        "--only", action="append", default=[], metavar="STAGE", help="these; may be repeated"
    )
    parser.add_argument("--again", action="store_true", help="forget what was run before")
    parser.add_argument("--list", action="store_true", help="only say which stages there are")
    parser.add_argument("--summarise", action="store_true", help="only write the README anew")
    parser.add_argument("--out", type=Path, help="folder; default: reports/<device>")
    arguments = parser.parse_args()
    ends = time.monotonic() + 60 * arguments.minutes
    device = device_here()
    if device is None and not (arguments.rehearse or arguments.list or arguments.summarise):
        print("no CUDA device here; --rehearse runs every stage at a toy size", file=sys.stderr)
        return 2
    named = device.name if device and not arguments.rehearse else "rehearsal"
    folder: Path = arguments.out or Path("reports") / slug(named)
    place = Place(
        folder=folder,
        device="cuda" if device or not arguments.rehearse else "cpu",
        dtype="bfloat16" if device or not arguments.rehearse else "float32",
        memory=device.memory if device else None,
    )
    everything = list(stages(REHEARSAL if arguments.rehearse else FULL, place))
    names = [stage.name for stage in everything]
    for name in arguments.only:
        if name not in names:
            parser.error(unknown_name("stage", name, names))
    chosen = [stage for stage in everything if not arguments.only or stage.name in arguments.only]
    if arguments.list:
        print("\n".join(f"{stage.minutes:g} min  {stage.name}" for stage in chosen))
        return 0
    folder.mkdir(parents=True, exist_ok=True)
    if arguments.summarise:
        write_readme(folder, everything)
        return 0
    try:
        with FileLock(folder / LOCK, timeout=0):
            return measure(chosen, everything, folder=folder, ends=ends, again=arguments.again)
    except Timeout:
        print(f"{folder}: another process is measuring into it", file=sys.stderr)
        return 2


def measure(
    chosen: Sequence[Stage], everything: Sequence[Stage], *, folder: Path, ends: float, again: bool
) -> int:
    """Run what is missing of `chosen`; 0 where nothing is left."""
    keep(folder, forgotten=[stage.name for stage in chosen] if again else ())
    for processes in rounds(pending(chosen, last_records(folder))):
        with ThreadPoolExecutor(max_workers=len(processes)) as pool:
            list(pool.map(partial(run, folder=folder, ends=ends), processes))
        write_readme(folder, everything)
    return int(any(pending(chosen, last_records(folder))))


def interruptible() -> None:
    """Let an interrupt end this process at once, not after the threads that wait for others."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


if __name__ == "__main__":
    interruptible()
    sys.exit(main())
