"""Make a session's run, in a process of its own: pytest's outlives whatever an engine does to it.

The run itself goes through its folder. What comes back is a note or what went wrong, and where
nothing comes back there is no run, whatever the process's exit code says.

PYTEST_DONT_REWRITE: engines are timed from here.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import msgspec
from msgspec import Struct

from equivcheck.capture.threads import spin_briefly
from equivcheck.core import errors
from equivcheck.core.cases import Suite
from equivcheck.core.errors import EngineError, EquivcheckError, OtherRunError, describe
from equivcheck.core.processes import end_with_parent, how_it_ended
from equivcheck.core.settings import Settings
from equivcheck.engines.limits import Watch
from equivcheck.records.run_folder import clear, make_room, set_aside, shown
from equivcheck.records.shards import Which

LONGEST_TRACE = 20_000
"""Characters: a report fits into a pipe that nobody reads yet."""
FRESH = """
import sys
sys.path[:] = __import__("json").loads(sys.argv.pop(1))
from equivcheck.plugin.making import fresh
fresh(*map(int, sys.argv[1:]))
"""


class Errand(Struct, frozen=True, kw_only=True):
    """The run that is to be made."""

    settings: Settings
    suites: tuple[Suite, ...]
    folder: str
    which: Which | None = None


class RunReport(Struct, frozen=True, kw_only=True):
    """What came of it; without a kind, a run is in the folder."""

    note: str = ""
    kind: str | None = None
    """Class of the error."""
    message: str = ""
    trace: str = ""


class Unforeseen(Exception):
    """An error that is none of ours, raised in another process: first line, then its traceback."""


def make_run(errand: Errand) -> str:
    """Make the run here, or go on with an interrupted one; what a reader should know of that.

    Raises:
        EquivcheckError: it cannot be made.
    """
    spin_briefly()
    from equivcheck.capture.thread_choice import timed_threads
    from equivcheck.pipeline.run import run

    settings, suites, folder = errand.settings, errand.suites, Path(errand.folder)
    try:
        start = make_room(folder, settings, suites, which=errand.which)
        resumed = start == "resumed"
        run(
            settings,
            suites,
            folder,
            resume=resumed,
            make_way=clear,
            which=errand.which,
            time_threads=timed_threads,
        )
        return "an interrupted run was resumed" if resumed else ""
    except OtherRunError:
        aside: list[Path] = []
    run(
        settings,
        suites,
        folder,
        make_way=lambda folder: aside.append(set_aside(folder)),
        which=errand.which,
        time_threads=timed_threads,
    )
    return f"an unfinished run of something else is in {shown(aside[0])}"


def make_run_apart(errand: Errand) -> str:
    """`make_run` in a process of its own.

    Raises:
        EquivcheckError: it cannot be made, or the process ended before it was.
        Unforeseen: any other error there.
    """
    if not hasattr(os, "fork"):
        return make_run(errand)
    reader, writer = os.pipe()
    watch = Watch()
    try:
        wait, end = (_forked if _single_threaded() else _spawned)(errand, writer, watch)
        os.close(writer)
        try:
            code = wait()
        except BaseException:
            end()
            raise
        report = _read(reader)
    finally:
        os.close(reader)
        passed = watch.passed()
    if report is None and passed is not None:
        raise EngineError(f"{passed}; what was measured is kept")
    if report is None:
        raise EngineError(
            f"the process that ran the engines {how_it_ended(code)} before a verdict; what was "
            f"measured is kept"
        )
    return _note_of(report)


Wait = Callable[[], int]
"""Waits for a process; its exit code, negative for a signal."""
End = Callable[[], None]
"""Ends a process at once: what it has written down is whole at any moment."""


def _forked(errand: Errand, writer: int, watch: Watch) -> tuple[Wait, End]:
    """The quick way: what is loaded here need not be loaded again."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    child = os.fork()
    if child == 0:
        end_with_parent()
        watch.begin()
        _work_and_leave(errand, writer)

    def wait() -> int:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    def end() -> None:
        with suppress(ProcessLookupError, ChildProcessError):
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)

    return wait, end


def _spawned(errand: Errand, writer: int, watch: Watch) -> tuple[Wait, End]:
    """The way where other threads run here: a fork would have their locks, and not them."""
    paths = msgspec.json.encode([str(place) for place in sys.path]).decode()
    child = subprocess.Popen(
        [sys.executable, "-P", "-c", FRESH, paths, str(writer), str(watch.file)],
        stdin=subprocess.PIPE,
        pass_fds=(writer, watch.file),
    )
    assert child.stdin is not None
    with suppress(BrokenPipeError), child.stdin as theirs:
        theirs.write(msgspec.msgpack.encode(errand))

    def end() -> None:
        child.kill()
        child.wait()

    return child.wait, end


def fresh(writer: int, watched: int) -> NoReturn:
    """What a spawned process does, to which the file of a `Watch` was passed on."""
    end_with_parent()
    os.set_inheritable(watched, False)
    Watch(watched).begin()
    errand = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Errand)
    _work_and_leave(errand, writer)


def _work_and_leave(errand: Errand, writer: int) -> NoReturn:
    """Make the run, report, and leave without exit handlers or waiting for an engine's threads."""
    os.set_inheritable(writer, False)
    try:
        report = RunReport(note=make_run(errand))
    except BaseException as error:
        report = _report_of(error)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os.write(writer, msgspec.msgpack.encode(report))
    os._exit(0)


def _report_of(error: BaseException) -> RunReport:
    kind = type(error).__name__
    if isinstance(error, EquivcheckError | KeyboardInterrupt):
        return RunReport(kind=kind, message=str(error)[:LONGEST_TRACE])
    trace = "".join(traceback.format_exception(error))
    return RunReport(kind=kind, message=describe(error), trace=trace[-LONGEST_TRACE:])


def _note_of(report: RunReport) -> str:
    if report.kind is None:
        return report.note
    if report.kind == KeyboardInterrupt.__name__:
        raise KeyboardInterrupt
    if report.trace:
        raise Unforeseen(f"{report.message}\n{report.trace}")
    ours = getattr(errors, report.kind, EquivcheckError)
    raise ours(report.message)


def _read(reader: int) -> RunReport | None:
    """What was reported; does not wait for processes that an engine left running."""
    os.set_blocking(reader, False)
    with suppress(msgspec.DecodeError, BlockingIOError):
        return msgspec.msgpack.decode(os.read(reader, 2**20), type=RunReport)
    return None


def _single_threaded() -> bool:
    """Whether this process has one thread, libraries' own included; False where nobody knows."""
    tasks = Path("/proc/self/task")
    return threading.active_count() == 1 and tasks.is_dir() and len(list(tasks.iterdir())) == 1
