"""The command line in a forked process: as a process of its own, without the time of imports."""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from equivcheck.cli.main import main
from equivcheck.records.run_folder import LOCK_NAME, lock

SECONDS = 120
"""That any one command may take, on any machine."""


class Ended(NamedTuple):
    """What became of a command."""

    code: int | None
    """Below 0: ended by that signal. None: it hung, and was ended."""
    said: str
    """Both streams."""


def forked(
    arguments: list[str],
    folder: Path,
    *,
    prepare: Callable[[], object] | None = None,
    kill_after: float | None = None,
) -> Ended:
    """Run a command in `folder`.

    Args:
        arguments: Of the command line.
        folder: Working directory; its output goes to a file there.
        prepare: Called in the process first.
        kill_after: Seconds after which it is killed.
    """
    log = folder / "log"
    child = os.fork()
    if child == 0:
        _become(arguments, folder, log=log, prepare=prepare)
    started = time.monotonic()
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return Ended(os.waitstatus_to_exitcode(status), log.read_text(errors="replace"))
        passed = time.monotonic() - started
        if kill_after is not None and passed >= kill_after:
            os.kill(child, signal.SIGKILL)
            kill_after = None
        if passed > SECONDS:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return Ended(None, log.read_text(errors="replace"))
        time.sleep(0.002)


def wait_for(folder: Path) -> None:
    """Wait until no process holds a run's folder: a child of one that was killed ends later."""
    if (folder / LOCK_NAME).exists():
        with lock(folder, wait=True):
            pass


def _become(
    arguments: list[str], folder: Path, *, log: Path, prepare: Callable[[], object] | None
) -> None:
    code = 99
    try:
        os.chdir(folder)
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(out, 1)
        os.dup2(out, 2)
        sys.stdout, sys.stderr = (os.fdopen(number, "w", encoding="utf-8") for number in (1, 2))
        if prepare is not None:
            prepare()
        main(arguments)
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else 0
        sys.stdout.flush()
    except BaseException:
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(code)
