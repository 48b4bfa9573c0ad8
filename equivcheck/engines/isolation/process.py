"""A process with an engine in it: started, written to, waited for no longer than allowed, ended.

Knows frames and signals, and nothing of what is asked.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import IO

from msgspec import Struct, json

from equivcheck.core.errors import SettingsError
from equivcheck.core.escape import tail, visible
from equivcheck.core.processes import how_it_ended
from equivcheck.engines.isolation.frames import (
    HEAD,
    FrameError,
    FromEngine,
    ToEngine,
    frame,
    read_from_engine,
    size_of_body,
)

MODULE = "equivcheck.engines.isolation.child"
SAME_PYTHON = f"""
import sys
sys.path[:] = __import__("json").loads(sys.argv.pop(1))
from {MODULE} import main
main(connection=int(sys.argv[1]), lifeline=int(sys.argv[2]))
"""
"""For this interpreter: modules are found where this process finds them."""
OF_ANOTHER = ("PYTHONHOME", "PYTHONPATH")
"""Variables that are about this interpreter, and no other."""
TALKATIVE = {"PYTHONUNBUFFERED": "1", "PYTHONFAULTHANDLER": "1"}
TICK = 0.2
"""Seconds between two looks whether the process still runs: others may hold its socket open."""
GRACE = 2.0
"""Seconds for a process that has closed its socket to say how it ends."""
TAIL_BYTES = 4096
TAIL_LINES = 3
TAIL_CELLS = 200


class Lost(Exception):
    """The process is of no more use. The message goes on behind "its process"."""


class Launch(Struct, frozen=True, kw_only=True):
    """How a process is started."""

    python: str | None = None
    """None: this interpreter, with this process's search path."""
    env: dict[str, str] = {}


class EngineProcess:
    """One process, in a session of its own, so that whatever it starts is ended with it."""

    def __init__(self, launch: Launch, *, log: Path | None, append: bool) -> None:
        """Start it.

        Args:
            launch: Interpreter and environment.
            log: Gets whatever it prints; None: a temporary file does.
            append: Whether to keep what the log holds.

        Raises:
            SettingsError: there is no such interpreter, or it cannot be started.
            OSError: the log cannot be written.
        """
        if not hasattr(os, "fork"):
            raise SettingsError("an engine in a process of its own needs a system that can fork")
        command = _command(launch)
        self.log = log
        self._printed = _open_log(log, append=append)
        self._from = self._printed.seek(0, os.SEEK_END)
        self._wire, theirs = socket.socketpair()
        heard, self._lifeline = os.pipe()
        try:
            self._process = subprocess.Popen(
                [*command, str(theirs.fileno()), str(heard)],
                pass_fds=(theirs.fileno(), heard),
                stdin=subprocess.DEVNULL,
                stdout=self._printed,
                stderr=subprocess.STDOUT,
                env=_environment(launch),
                start_new_session=True,
            )
        except OSError as error:
            self._wire.close()
            os.close(self._lifeline)
            self._printed.close()
            why = error.strerror or str(error)
            raise SettingsError(f"python {command[0]!r} cannot be started: {why}") from error
        finally:
            theirs.close()
            os.close(heard)
        self._ready = select.poll()
        self._ready.register(self._wire, select.POLLIN)
        self._read = bytearray()

    @property
    def pid(self) -> int:
        """Id of the process that the engine is in."""
        return self._process.pid

    def send(self, message: ToEngine, *, seconds: float | None) -> None:
        """Send a message.

        Raises:
            Lost: the process has gone, or does not read.
        """
        self._wire.settimeout(seconds)
        try:
            self._wire.sendall(frame(message))
        except TimeoutError as error:
            raise Lost(f"did not read what it was asked within {seconds:g} s") from error
        except OSError as error:
            raise Lost(self.ended()) from error
        except FrameError as error:
            raise Lost(f"cannot be asked: {error}") from error

    def receive(self, *, seconds: float | None) -> FromEngine | None:
        """The next message; None: none has come within so many seconds (None: no limit).

        Raises:
            Lost: the process has gone, or what it sent is no message.
        """
        until = None if seconds is None else time.monotonic() + seconds
        try:
            if not self._fill(HEAD.size, until=until):
                return None
            end = HEAD.size + size_of_body(bytes(self._read[: HEAD.size]))
            if not self._fill(end, until=until):
                return None
            body = bytes(self._read[HEAD.size : end])
            del self._read[:end]
            return read_from_engine(body)
        except FrameError as error:
            raise Lost(f"sent what is no message: {visible(str(error))}") from error

    def ended(self) -> str:
        """How it ended, to go on behind "its process"; waits a moment for that."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(GRACE)
        code = self._process.returncode
        if code is None:
            return "closed its connection and did not end"
        return how_it_ended(code)

    def end(self) -> None:
        """End it and all that it has started, and free what was held for it."""
        # Its group is there as long as the process that waits for the lifeline is in it.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._wire.close()
        self._printed.close()
        with suppress(OSError):
            os.close(self._lifeline)

    def last_lines(self) -> str:
        """The end of what it printed, in one line; empty where it printed nothing."""
        end = self._printed.seek(0, os.SEEK_END)
        self._printed.seek(max(self._from, end - TAIL_BYTES))
        text = self._printed.read(TAIL_BYTES).decode("utf-8", errors="replace")
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return tail(visible(" | ".join(lines[-TAIL_LINES:])), cells=TAIL_CELLS)

    def _fill(self, size: int, *, until: float | None) -> bool:
        """Read until there are so many bytes; whether there are, at the time given."""
        while len(self._read) < size:
            left = TICK if until is None else min(TICK, until - time.monotonic())
            gone = self._process.poll() is not None
            if self._ready.poll(max(0.0, left) * 1000):
                self._take(size)
            elif gone:
                raise Lost(self.ended())
            elif left <= 0:
                return False
        return True

    def _take(self, size: int) -> None:
        try:
            part = self._wire.recv(max(2**16, min(size - len(self._read), 2**20)))
        except OSError as error:
            raise Lost(self.ended()) from error
        if not part:
            raise Lost(self.ended())
        self._read += part


def _open_log(log: Path | None, *, append: bool) -> IO[bytes]:
    if log is None:
        return tempfile.TemporaryFile()
    log.parent.mkdir(parents=True, exist_ok=True)
    # In append mode, so that all writers go on at the end.
    if not append:
        log.unlink(missing_ok=True)
    return log.open("a+b", buffering=0)


def _command(launch: Launch) -> list[str]:
    if launch.python is None:
        return [
            sys.executable,
            "-P",
            "-c",
            SAME_PYTHON,
            json.encode([str(place) for place in sys.path]).decode(),
        ]
    return [_interpreter(launch.python), "-P", "-m", MODULE]


def _interpreter(python: str) -> str:
    """Where an interpreter is: on the search path; or from this folder, or the nearest above it.

    Links are not followed: a virtual environment is known by the link.
    """
    if os.sep not in python:
        found = shutil.which(python)
    else:
        here = Path.cwd()
        places = (folder / python for folder in (here, *here.parents))
        found = next((str(place) for place in places if place.is_file()), None)
    if found is None:
        raise SettingsError(f"python {python!r}: no such interpreter, from {Path.cwd()} upwards")
    return found


def _environment(launch: Launch) -> dict[str, str]:
    inherited = dict(os.environ)
    if launch.python is not None:
        for name in OF_ANOTHER:
            inherited.pop(name, None)
    return TALKATIVE | inherited | launch.env
