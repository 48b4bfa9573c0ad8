"""Runs the stages of one group of `benchmarks.gpu` in one process, each with a log of its own.

    python -m benchmarks.gpu_worker FOLDER ENDS PARENT < STAGES

Reads one JSON object a line: ``name``, ``command`` (module and arguments), ``seconds``, after
which the stage is given up, and ``least``, without which it is not begun; none goes on after ENDS,
by the monotonic clock, which all processes of a machine share. That each began and how it ended is
appended to FOLDER/stages.jsonl. The process ends with PARENT, and with a stage that cannot be
interrupted.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import runpy
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.stage_records import FRESH, OUT, Ended, append, record_of, told

BROKE = 1
GRACE = 10.0
"""Seconds for a stage to leave once its time is over; in the middle of a library's call it cannot.
"""


class OutOfTime(KeyboardInterrupt):
    """A stage took longer than it may; what it has recorded stays, as after an interrupt."""


def main() -> None:
    """Run what stdin asks for."""
    folder, ends = Path(sys.argv[1]), float(sys.argv[2])
    leave_with(int(sys.argv[3]))
    wanted = [json.loads(line) for line in sys.stdin.read().splitlines()]
    for stage in wanted:
        left = ends - time.monotonic()
        if left < float(stage["least"]):
            continue
        seconds = min(left, float(stage["seconds"]))
        record = run(stage["name"], stage["command"], folder=folder, seconds=seconds)
        append(folder, record)
        print(told(folder, record), flush=True)
        let_go()


def leave_with(parent: int) -> None:
    """End this process soon after its parent, however that ended: two would disturb each other."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(BROKE)

    threading.Thread(target=watch, daemon=True).start()


def run(name: str, command: Sequence[str], *, folder: Path, seconds: float) -> Ended:
    """Run one stage in this process; its output goes to a file of its name."""
    if FRESH in command:
        # Before it is said to have begun: from then on it would go on with what is there.
        Path(command[command.index(OUT) + 1]).unlink(missing_ok=True)
    append(folder, record_of(name, command, ended=False))
    started = time.monotonic()
    with redirected(folder / f"{name}.log"):
        code = call(command, seconds=seconds)
    return record_of(name, command, exit=code, seconds=time.monotonic() - started)


def call(command: Sequence[str], *, seconds: float) -> int | None:
    """Run a module as ``python -m`` does; its exit code, None where its time ran out."""
    late: list[bool] = []

    def stop(*_: Any) -> None:
        late.append(True)
        raise OutOfTime

    before = signal.signal(signal.SIGALRM, stop)
    given, sys.argv = sys.argv, list(command)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.01))
    stuck = threading.Timer(seconds + GRACE, os._exit, [BROKE])
    stuck.daemon = True
    stuck.start()
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
        stuck.cancel()
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
