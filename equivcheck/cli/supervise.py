"""The one place that gives the exit code: a process in which no engine runs.

A verb runs in a child. An engine's library may do to that process what it likes: leave it with
``os._exit(0)``, replace it by another program, register exit handlers, leave threads running. The
parent exits with what the verb itself reported, and with a verdict's code only if the run on disk
ends with that verdict. Where a process cannot fork (Windows), the verb runs unsupervised.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

import msgspec
from msgspec import Struct

from equivcheck.core.errors import EquivcheckError
from equivcheck.core.exit_codes import COULD_NOT_RUN, EXIT_CODES
from equivcheck.core.processes import end_with_parent, how_it_ended
from equivcheck.engines.limits import Watch
from equivcheck.records.records_file import RECORDS_NAME, last_verdict

PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if hasattr(signal, "SIGHUP") else ()
_CODES = frozenset(EXIT_CODES.values())
_LONGEST_REPORT = 2**16


class ExitReport(Struct, frozen=True, kw_only=True):
    """What a verb's process says as the last thing it does."""

    code: int
    folder: bytes | None = None
    """Folder of the run whose verdict the code is, in bytes, for a path need not be UTF-8; None:
    the verb gives no verdict of a run.
    """
    moved_to: bytes | None = None
    """Where the same folder is now that the working directory is another one."""


class _Run:
    """The run that the verb of this process gives the verdict of."""

    given: Path | None = None
    folder: Path | None = None


def rests_on(folder: Path) -> None:
    """Say that this verb's exit code is the verdict of the run in ``folder``.

    Called before an engine opens, since an engine may change the working directory.
    """
    _Run.given, _Run.folder = folder, folder.absolute()


def supervised(work: Callable[[], int], *, refuse: Callable[[str], int]) -> int:
    """The exit code of ``work``, which runs in a child process.

    Args:
        work: A verb, to its exit code.
        refuse: Says why there is no verdict after all, to the exit code of that.
    """
    if not hasattr(os, "fork"):
        return work()
    reader, writer = os.pipe()
    watch = Watch()
    child = os.fork()
    if child == 0:
        os.close(reader)
        watch.begin()
        _work_and_leave(work, writer)
    os.close(writer)
    with _passing_on(child):
        status = os.waitpid(child, 0)[1]
    report, passed = _read_report(reader), watch.passed()
    if report is None:
        if passed is not None:
            return refuse(f"{passed}; what was measured is kept")
        how = how_it_ended(os.waitstatus_to_exitcode(status))
        return refuse(
            f"the process that ran the engines {how} before a verdict; what was measured is kept"
        )
    if report.folder is None or report.code not in _CODES:
        return report.code
    if report.moved_to is not None:
        place = os.fsdecode(report.moved_to)
        return refuse(f"an engine changed the working directory: the run is in {place}")
    folder = Path(os.fsdecode(report.folder))
    if report.code != _stored_code(folder):
        return refuse(f"{folder}: the records do not end with the verdict that was printed")
    return report.code


def _read_report(reader: int) -> ExitReport | None:
    """What the child said; None: nothing that is a report.

    Does not wait for the end of the pipe: processes that an engine left running may hold it open.
    """
    os.set_blocking(reader, False)
    with open(reader, "rb", buffering=0) as pipe:
        said = pipe.read(_LONGEST_REPORT)
    with suppress(msgspec.DecodeError):
        return msgspec.json.decode(said or b"", type=ExitReport)
    return None


def _work_and_leave(work: Callable[[], int], writer: int) -> NoReturn:
    """Run the verb, report, and leave without exit handlers or waiting for an engine's threads."""
    end_with_parent()
    # Signals of a terminal reach the parent alone, which hands them on once.
    os.setpgid(0, 0)
    try:
        code = work()
    except BaseException:
        traceback.print_exc()
        os._exit(COULD_NOT_RUN)
    report = ExitReport(code=code)
    if _Run.given is not None:
        now = _Run.given.absolute()
        moved_to = None if now == _Run.folder else os.fsencode(now)
        report = ExitReport(code=code, folder=os.fsencode(str(_Run.folder)), moved_to=moved_to)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os.write(writer, msgspec.json.encode(report))
    os._exit(code)


@contextmanager
def _passing_on(child: int) -> Iterator[None]:
    """Hand signals to the child, which knows how to end, and wait for it."""

    def hand_on(number: int, frame: FrameType | None) -> None:
        with suppress(ProcessLookupError):
            os.kill(child, number)

    before = {number: signal.signal(number, hand_on) for number in PASSED_ON}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stored_code(folder: Path) -> int | None:
    """The exit code of the verdict that a run on disk ends with; None: it ends with none."""
    try:
        sealed = last_verdict(folder / RECORDS_NAME)
    except (EquivcheckError, OSError):
        return None
    return None if sealed is None else EXIT_CODES[sealed.outcome]
