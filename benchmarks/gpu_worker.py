"""Runs the stages of one group of `benchmarks.gpu` in one process, each with a log of its own.

    python -m benchmarks.gpu_worker FOLDER ENDS < STAGES

Reads one JSON object a line: ``name``, ``command`` (module and arguments) and ``seconds``, after
which the stage is given up; none begins or goes on after ENDS, by the monotonic clock, which all
processes of a machine share. How each ended is appended to FOLDER/stages.jsonl.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import runpy
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

STAGES = "stages.jsonl"
BROKE = 1
LEAST_SECONDS = 5.0
"""With less time left, nothing is begun."""


class OutOfTime(KeyboardInterrupt):
    """A stage took longer than it may; what it has recorded stays, as after an interrupt."""


def main() -> None:
    """Run what stdin asks for."""
    folder, ends = Path(sys.argv[1]), float(sys.argv[2])
    wanted = [json.loads(line) for line in sys.stdin.read().splitlines()]
    for stage in wanted:
        left = ends - time.monotonic()
        if left < LEAST_SECONDS:
            break
        seconds = min(left, float(stage["seconds"]))
        append(folder, run(stage["name"], stage["command"], folder=folder, seconds=seconds))
        let_go()


def run(name: str, command: Sequence[str], *, folder: Path, seconds: float) -> dict[str, object]:
    """Run one stage in this process; its output goes to a file of its name."""
    started = time.monotonic()
    with redirected(folder / f"{name}.log"):
        code = call(command, seconds=seconds)
    return ended(name, command, code=code, seconds=time.monotonic() - started)


def ended(
    name: str, command: Sequence[str], *, code: int | None, seconds: float
) -> dict[str, object]:
    """The record of a stage; without a code it was given up."""
    return {
        "stage": name,
        "command": " ".join(command),
        "exit": code,
        "seconds": round(seconds, 1),
        "torch": version("torch"),
    }


def append(folder: Path, record: dict[str, object]) -> None:
    """Write down how a stage ended, and say so."""
    with (folder / STAGES).open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")
    how = "gave up" if record["exit"] is None else f"exit {record['exit']}"
    print(f"{record['stage']}: {how} after {record['seconds']} s", flush=True)


def call(command: Sequence[str], *, seconds: float) -> int | None:
    """Run a module as ``python -m`` does; its exit code, None where its time ran out."""
    late: list[bool] = []

    def stop(*_: Any) -> None:
        late.append(True)
        raise OutOfTime

    before = signal.signal(signal.SIGALRM, stop)
    given, sys.argv = sys.argv, list(command)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.01))
    try:
        runpy.run_module(command[0], run_name="__main__")
        code: int | None = 0
    except SystemExit as left:
        # Python's own reading of what `sys.exit` is given.
        if isinstance(left.code, str):
            print(left.code, file=sys.stderr)
        code = left.code if isinstance(left.code, int) else int(left.code is not None)
    except OutOfTime:
        code = None
    except Exception:
        traceback.print_exc()
        code = BROKE
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        sys.argv = given
    return None if late else code


@contextlib.contextmanager
def redirected(path: Path) -> Iterator[None]:
    """Send both standard outputs to a file, those of libraries and child processes too."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(stream) for stream in (1, 2)]
    with path.open("wb") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
        try:
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for stream, copy in zip((1, 2), kept, strict=True):
                os.dup2(copy, stream)
                os.close(copy)


def let_go() -> None:
    """Free what a stage has left on the device; models stay, for the next one."""
    if "torch._dynamo" in sys.modules:
        sys.modules["torch._dynamo"].reset()
    gc.collect()
    if "torch" in sys.modules and (torch := sys.modules["torch"]).cuda.is_available():
        torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
