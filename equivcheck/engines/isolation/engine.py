"""An engine whose decoder is in another process: to a run it is an engine like any other.

What happens to that process is an `EngineError` that says whose it was, how it ended and what it
printed last. The next question is put to a new one, so that one bad request costs no other its
answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress

import msgspec

from equivcheck import __version__
from equivcheck.core.engine import Capabilities
from equivcheck.core.engine_tables import TimeLimits
from equivcheck.core.errors import EngineError, EquivcheckError
from equivcheck.core.escape import head
from equivcheck.core.generation import Generation, Request
from equivcheck.core.serving import ServingLimits
from equivcheck.core.settings import EngineSetup
from equivcheck.engines.isolation.frames import (
    AnswerFrame,
    Ask,
    Broke,
    Close,
    Closed,
    Done,
    FromEngine,
    InService,
    Open,
    Opened,
    Started,
    ToEngine,
    ToService,
)
from equivcheck.engines.isolation.memory import peak_bytes
from equivcheck.engines.isolation.process import EngineProcess, Launch, Lost
from equivcheck.engines.isolation.service import IsolatedService
from equivcheck.engines.opening import Opening

MOST_FRUITLESS = 4
"""Processes in a row that end before they have answered anything, until none is started again: one
for a first question, one for a batch, one for a single request of it, and one more."""


class IsolatedEngine:
    """Starts processes, one at a time, and passes questions and answers on."""

    def __init__(
        self, spec: str, setup: EngineSetup, *, launch: Launch, clock: TimeLimits, opening: Opening
    ) -> None:
        """Start a process and open the engine there.

        Raises:
            SettingsError: the interpreter cannot be started, or the specification is wrong.
            PairError: the engine there cannot load the pair.
            EngineError: the engine cannot be opened there, within the time that it has.
        """
        self.spec, self.setup, self.launch, self.clock = spec, setup, launch, clock
        self.arm = opening.arm
        self._log = None if opening.logs is None else (opening.logs / f"{opening.arm}.log")
        self.costs: tuple[str, ...] = ()
        self.peak_bytes: int | None = None
        """Most resident memory of the process and its descendants so far; None: not known."""
        self._fruitless = 0
        self._last_words = ""
        self._process: EngineProcess | None = None
        self.capabilities: Capabilities = self._open(append=opening.resumed)

    def generate(self, requests: Sequence[Request]) -> Iterator[Generation]:
        """Yield answers as they come.

        Raises:
            EngineError: the process ended, took too long, or sent something else; or the engine
                there raised an error.
        """
        process = self._ready_process()
        waiting = {request.key: request.max_new_tokens for request in requests}
        ended = False
        try:
            first = head(next(iter(waiting), "nothing"), cells=60)
            more = f" and {len(waiting) - 1} more" if len(waiting) > 1 else ""
            doing = f"while it answered {first}{more}"
            limit = self.clock.seconds_to_answer(tokens=sum(waiting.values()))
            self._send(process, Ask(requests=tuple(requests)), seconds=limit, doing=doing)
            while True:
                limit = self.clock.seconds_to_answer(tokens=sum(waiting.values()))
                given = self._receive(process, seconds=limit, doing=doing, limit="answer_seconds")
                if isinstance(given, AnswerFrame):
                    self._fruitless = 0
                    waiting.pop(given.generation.key, None)
                    yield given.generation
                    continue
                self._measure(process)
                ended = True
                if isinstance(given, Done):
                    self.costs = given.costs
                    return
                if isinstance(given, Broke):
                    raise given.error(who="")
                raise self._lost(f"sent {type(given).__name__} {doing}")
        finally:
            if not ended:
                # Answers to this question would be taken for answers to the next.
                self._end()

    def serve(self, limits: ServingLimits) -> IsolatedService:
        """Begin a service there.

        Raises:
            EngineError: the process broke, or took too long.
        """
        return IsolatedService(self._exchange, limits)

    def _exchange(
        self, message: ToService, tokens: int, process: EngineProcess | None
    ) -> tuple[EngineProcess, InService]:
        """Have the process do something for its service, in the time that so many tokens have.

        Args:
            message: What it is to do.
            tokens: That may yet come.
            process: That the service began in; None: it begins.

        Raises:
            EngineError: it broke, ended, took too long, or sent something else.
        """
        if process is None:
            process = self._ready_process()
        elif process is not self._process:
            raise EngineError(f"{self._who}: the process of the service has ended; begin another")
        doing = "while it served"
        seconds = self.clock.seconds_to_answer(tokens=tokens)
        ended = False
        try:
            self._send(process, message, seconds=seconds, doing=doing)
            told = self._receive(process, seconds=seconds, doing=doing, limit="answer_seconds")
            ended = True
        finally:
            if not ended:
                # What it says to this would be taken for what it says to the next.
                self._end()
        if isinstance(told, Broke):
            raise told.error(who="")
        if not isinstance(told, InService):
            raise self._lost(f"sent {type(told).__name__} {doing}")
        self._fruitless = 0
        return process, told

    def close(self) -> None:
        """Close the engine there and end its process.

        Raises:
            EngineError: it broke, or took too long.
        """
        process, limit = self._process, self.clock.seconds_to_close()
        if process is None:
            return
        self._measure(process)
        doing = "as it was closed"
        self._send(process, Close(), seconds=limit, doing=doing)
        told = self._receive(process, seconds=limit, doing=doing, limit="close_seconds")
        self._end()
        if isinstance(told, Broke):
            raise told.error(who="")
        if not isinstance(told, Closed):
            raise EngineError(f"{self._who}: its process sent {type(told).__name__} {doing}")

    def _ready_process(self) -> EngineProcess:
        """The process; a new one where the last one is lost."""
        if self._process is None:
            if self._fruitless >= MOST_FRUITLESS:
                raise EngineError(f"given up after {self._fruitless} processes: {self._last_words}")
            told = self._open(append=True)
            if _lasting(told) != _lasting(self.capabilities):
                self._end()
                raise EngineError(f"{self._who}: says that it is another engine when opened again")
        assert self._process is not None
        return self._process

    def _open(self, *, append: bool) -> Capabilities:
        limit, doing = self.clock.seconds_to_open(), "as it was opened"
        self._process = process = EngineProcess(self.launch, log=self._log, append=append)
        try:
            started = self._receive(process, seconds=limit, doing=doing, limit="open_seconds")
            if not isinstance(started, Started):
                raise self._lost(f"sent {type(started).__name__} {doing}")
            if started.version != __version__:
                raise EngineError(
                    f"{self._who}: equivcheck is {started.version} in its environment and "
                    f"{__version__} here; install the same"
                )
            self._send(process, Open(spec=self.spec, setup=self.setup), seconds=limit, doing=doing)
            told = self._receive(process, seconds=limit, doing=doing, limit="open_seconds")
            if isinstance(told, Broke):
                raise told.error(who="")
            if not isinstance(told, Opened):
                raise self._lost(f"sent {type(told).__name__} {doing}")
        except BaseException:
            self._end()
            raise
        where = f": {self.launch.python}, Python {started.python}" if self.launch.python else ""
        note = f"in a process of its own{where}"
        found = told.capabilities
        return msgspec.structs.replace(found, notes=(*found.notes, note))

    def _send(
        self,
        process: EngineProcess,
        message: ToEngine,
        *,
        seconds: float | None,
        doing: str,
    ) -> None:
        try:
            process.send(message, seconds=seconds)
        except Lost as lost:
            raise self._lost(f"{lost} {doing}") from lost

    def _receive(
        self, process: EngineProcess, *, seconds: float | None, doing: str, limit: str
    ) -> FromEngine:
        try:
            message = process.receive(seconds=seconds)
        except Lost as lost:
            raise self._lost(f"{lost} {doing}") from lost
        if message is None:
            raise self._lost(f"said nothing for {seconds:g} s {doing} ({limit}), and was ended")
        return message

    def _lost(self, what: str) -> EquivcheckError:
        """End the process; the error that says what it did."""
        self._fruitless += 1
        printed = "" if self._process is None else self._process.last_lines()
        self._end()
        log = "" if self._log is None else f"; log: {self._log.parent.name}/{self._log.name}"
        said = f"; last output: {printed}" if printed else "; it printed nothing"
        hint = ""
        if "No module named 'equivcheck" in printed and self.launch.python:
            hint = "; install equivcheck there"
        self._last_words = f"{self._who}: its process {what}{hint}{log}{said}"
        return EngineError(self._last_words)

    @property
    def _who(self) -> str:
        return f"{self.arm} ({head(self.spec, cells=80)})"

    def _measure(self, process: EngineProcess) -> None:
        found = peak_bytes(process.pid)
        if found is not None:
            self.peak_bytes = max(found, self.peak_bytes or 0)

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            with suppress(OSError):
                process.end()


def _lasting(told: Capabilities) -> Capabilities:
    """What an engine says of itself, without remarks: they may hold measured figures."""
    return msgspec.structs.replace(told, notes=())
