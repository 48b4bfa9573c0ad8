"""Starts the server of an engine's table, waits until it answers, and ends it with its last user.

Servers are started on this machine alone. Arms that name the same table share its server.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, cast

import httpx

from equivcheck.core.engine import Capabilities, Engine
from equivcheck.core.engine_tables import EngineTable, TimeLimits
from equivcheck.core.errors import EngineError, EngineGoneError, SettingsError
from equivcheck.core.escape import tail, visible
from equivcheck.core.generation import Generation, Request
from equivcheck.core.serving import (
    Serving,
    ServingEngine,
    ServingLimits,
    TimedAnswer,
    TimedEngine,
)
from equivcheck.engines.http import guard
from equivcheck.engines.http.wire import LOCAL

READY = "/v1/models"
TICK = 0.25
"""Seconds between two questions whether it is ready."""
ANSWER_SECONDS = 5.0
"""For one of these questions."""
TAIL_BYTES, TAIL_LINES, TAIL_CELLS = 4096, 4, 240
_running: dict[str, ServerProcess] = {}


class ServerProcess:
    """One started server, in a session of its own."""

    def __init__(
        self, name: str, table: EngineTable, url: str, *, log: Path | None, seconds: float | None
    ) -> None:
        """Start it; `wait` waits until it answers.

        Args:
            name: Of the table.
            table: With a command.
            url: Of the server.
            log: Gets whatever it prints; None: a temporary file does.
            seconds: That it may take to end before it is killed.

        Raises:
            SettingsError: the command cannot be started, or the URL is of another machine.
            EngineError: something answers at the URL already.
        """
        self.name, self.url, self.stop_command = name, url, table.stop
        self.ready = httpx.URL(url).join(table.ready or READY)
        self.users = 0
        if httpx.URL(url).host not in LOCAL:
            raise SettingsError(f"engine.{name}: start: its url {url} is of another machine")
        command = shlex.split(table.start or "")
        if not command or shutil.which(command[0]) is None:
            program = visible(command[0]) if command else ""
            raise SettingsError(f"engine.{name}: start: there is no program {program!r}")
        if self.answers():
            raise EngineError(
                f"engine.{name}: something answers at {self.ready} already; end it, or leave out "
                f"start to use it as it is"
            )
        self.log, self.seconds = log, seconds
        self._printed = _open_log(log)
        self._from = self._printed.seek(0, os.SEEK_END)
        self._process, self._lifeline = self._start(command, table)

    def wait(self, *, seconds: float | None) -> None:
        """Wait until it answers.

        Raises:
            EngineError: it ended, or did not answer in time; with the end of what it printed.
        """
        until = None if seconds is None else time.monotonic() + seconds
        while not self.answers():
            if (told := self.ended()) is not None:
                told = f"{told} before it was ready{self.last_lines()}"
                raise EngineError(f"engine.{self.name}: its server {told}")
            if until is not None and time.monotonic() > until:
                told = f"did not answer at {self.ready} within {seconds:g} s{self.last_lines()}"
                raise EngineError(f"engine.{self.name}: its server {told}")
            time.sleep(TICK)

    def answers(self) -> bool:
        """Whether it says at its page that it is ready."""
        try:
            told = httpx.get(self.ready, timeout=ANSWER_SECONDS, trust_env=False)
        except httpx.TransportError:
            return False
        return told.status_code == 200

    def ended(self) -> str | None:
        """How it ended; None: it runs."""
        code = self._process.poll()
        return None if code is None else f"left with exit code {code}"

    def end(self) -> None:
        """End it and all that it has started."""
        if self.stop_command is not None and self._process.poll() is None:
            with suppress(OSError, subprocess.SubprocessError):
                subprocess.run(
                    shlex.split(self.stop_command),
                    stdin=subprocess.DEVNULL,
                    stdout=self._printed,
                    stderr=subprocess.STDOUT,
                    timeout=self.seconds,
                    check=False,
                )
        os.close(self._lifeline)
        self._process.wait()
        self._printed.close()

    def last_lines(self) -> str:
        """The end of what it printed, to go behind a message."""
        end = self._printed.seek(0, os.SEEK_END)
        self._printed.seek(max(self._from, end - TAIL_BYTES))
        text = self._printed.read(TAIL_BYTES).decode("utf-8", errors="replace")
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        shown = tail(visible(" | ".join(lines[-TAIL_LINES:])), cells=TAIL_CELLS)
        where = f"; log: {self.log.parent.name}/{self.log.name}" if self.log else ""
        return f"{where}; last output: {shown}" if shown else where

    def _start(
        self, command: Sequence[str], table: EngineTable
    ) -> tuple[subprocess.Popen[bytes], int]:
        heard, lifeline = os.pipe()
        grace = "inf" if self.seconds is None else str(self.seconds)
        try:
            process = subprocess.Popen(
                [sys.executable, guard.__file__, str(heard), grace, *command],
                pass_fds=(heard,),
                stdin=subprocess.DEVNULL,
                stdout=self._printed,
                stderr=subprocess.STDOUT,
                env={"PYTHONUNBUFFERED": "1"} | dict(os.environ) | table.env,
                start_new_session=True,
            )
        finally:
            os.close(heard)
        return process, lifeline


class ServedEngine:
    """An engine whose server was started for it."""

    def __init__(self, engine: Engine, server: ServerProcess) -> None:
        """Take over an open engine and one use of a server."""
        self.engine, self.server = engine, server

    @property
    def capabilities(self) -> Capabilities:
        return self.engine.capabilities

    def generate(self, requests: Sequence[Request]) -> Iterator[Generation]:
        """Ask the server; where it has ended, its last lines are told.

        Raises:
            EngineError, EngineGoneError: as the engine does.
        """
        with self.last_words():
            yield from self.engine.generate(requests)

    def ask_timed(self, request: Request) -> TimedAnswer:
        """One answer and when its tokens came.

        Raises:
            EngineError, EngineGoneError: as the engine does.
        """
        if not isinstance(self.engine, TimedEngine):
            raise EngineError(f"engine.{self.server.name}: it cannot be asked by several at once")
        with self.last_words():
            return self.engine.ask_timed(request)

    @contextmanager
    def last_words(self) -> Iterator[None]:
        """Tell the last lines of a server that has ended meanwhile."""
        try:
            yield
        except EngineGoneError as error:
            told = self.server.ended()
            if told is None:
                raise
            told = f"engine.{self.server.name}: its server {told}{self.server.last_lines()}"
            raise EngineGoneError(told) from error

    def serve(self, limits: ServingLimits) -> Serving:
        """The server as a service, where its engine serves."""
        return cast("ServingEngine", self.engine).serve(limits)

    def close(self) -> None:
        """Close the engine, and end the server if nobody else uses it."""
        try:
            self.engine.close()
        finally:
            release(self.server)


def lend(
    name: str, table: EngineTable, url: str, *, log: Path | None, clock: TimeLimits
) -> ServerProcess:
    """The server of a table, started if it does not run; `release` gives it back.

    Raises:
        SettingsError: it cannot be started.
        EngineError: it does not get ready.
    """
    server = _running.get(name)
    if server is None:
        server = ServerProcess(name, table, url, log=log, seconds=clock.seconds_to_close())
        try:
            server.wait(seconds=clock.seconds_to_open())
        except BaseException:
            server.end()
            raise
        _running[name] = server
    server.users += 1
    return server


def release(server: ServerProcess) -> None:
    """Give a server back; its last user ends it."""
    server.users -= 1
    if server.users == 0:
        del _running[server.name]
        server.end()


def _open_log(log: Path | None) -> IO[bytes]:
    if log is None:
        return tempfile.TemporaryFile()
    log.parent.mkdir(parents=True, exist_ok=True)
    return log.open("a+b", buffering=0)
