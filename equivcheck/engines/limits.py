"""Limits on the time of an engine in this process: the process ends where one has passed.

A call cannot be taken back from outside, and an engine that was interrupted inside one may answer
wrongly afterwards, which would read as a divergence. So no answer follows: the process ends, and
the parent, which reads a `Watch`, says what it waited for. The watchdog is faulthandler's, a thread
of C, which needs no interpreter: an engine that never gives it back cannot stop it.
"""

from __future__ import annotations

import faulthandler
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import cast

from equivcheck.core.engine import Capabilities, Engine
from equivcheck.core.engine_tables import TimeLimits
from equivcheck.core.escape import head
from equivcheck.core.generation import Generation, Request
from equivcheck.core.serving import ServedEvent, Serving, ServingEngine, ServingLimits

_PASSED = b"\nTimeout ("
"""What faulthandler writes first."""
_LONGEST = 2**16


class Watch:
    """A file between a process that runs engines and its parent: what is waited for at the moment.

    Made by the parent, which hands it to one child.
    """

    def __init__(self, file: int | None = None) -> None:
        """Open a new one, or the one whose file descriptor a parent has passed on."""
        if file is None:
            with tempfile.TemporaryFile(buffering=0) as new:
                file = os.dup(new.fileno())
        self.file = file

    def begin(self) -> None:
        """Set limits in this process from now on."""
        _Here.watch = self

    def passed(self) -> str | None:
        """Which limit the process was ended by, and where it was; None: by none."""
        said = os.pread(self.file, _LONGEST, 0)
        os.close(self.file)
        waited, passed, trace = said.partition(_PASSED)
        if not passed:
            return None
        # The main thread is the last one, and its innermost call the first line below its name.
        main = trace.decode(errors="replace").rpartition("\nThread ")[2].splitlines()
        place = f"; it was at {head(main[1].strip(), cells=200)}" if len(main) > 1 else ""
        return waited.decode(errors="replace") + place

    def set(self, seconds: float, waited: str) -> None:
        """End this process after so many seconds, with a sentence for the parent."""
        os.ftruncate(self.file, 0)
        os.lseek(self.file, 0, os.SEEK_SET)
        os.write(self.file, waited.encode(errors="replace") + b"\n")
        faulthandler.dump_traceback_later(seconds, file=self.file, exit=True)


class _Here:
    """The watch of this process."""

    watch: Watch | None = None


@contextmanager
def within(seconds: float | None, *, limit: str, doing: str) -> Iterator[None]:
    """End this process unless what is inside ends in time. Without a `Watch`, there is no limit.

    Args:
        seconds: None: no limit.
        limit: The setting that it is.
        doing: Who was waited for, and when.
    """
    watch = _Here.watch
    if watch is None or seconds is None:
        yield
        return
    # An engine may have closed the file, or forbidden to write: it can end the process as well.
    with suppress(OSError, ValueError):
        watch.set(seconds, f"{doing} took more than {seconds:g} s ({limit})")
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def with_limits(engine: Engine, clock: TimeLimits, *, who: str) -> Engine:
    """The engine, under limits where this process has a `Watch`."""
    return engine if _Here.watch is None else LimitedEngine(engine, clock, who=who)


def inner(engine: Engine) -> Engine:
    """The engine itself, for whoever looks inside."""
    return engine.engine if isinstance(engine, LimitedEngine) else engine


class LimitedEngine:
    """An engine each of whose calls has a limit."""

    def __init__(self, engine: Engine, clock: TimeLimits, *, who: str) -> None:
        """Stand before `engine`, which `who` names."""
        self.engine, self.clock, self.who = engine, clock, who

    @property
    def capabilities(self) -> Capabilities:
        """As the engine says them."""
        return self.engine.capabilities

    @property
    def costs(self) -> object:
        """What the engine says of its costs, where it does."""
        return getattr(self.engine, "costs", ())

    def generate(self, requests: Sequence[Request]) -> Iterator[Generation]:
        waiting = {request.key: request.max_new_tokens for request in requests}
        answers: Iterator[Generation] | None = None
        while True:
            first = head(next(iter(waiting), "nothing"), cells=60)
            more = f" and {len(waiting) - 1} more" if len(waiting) > 1 else ""
            seconds = self.clock.seconds_to_answer(tokens=sum(waiting.values()))
            doing = f"{self.who}: the answer to {first}{more}"
            with within(seconds, limit="answer_seconds", doing=doing):
                answers = iter(self.engine.generate(requests)) if answers is None else answers
                try:
                    answer = next(answers)
                except StopIteration:
                    return
            # What is no answer at all is for whoever asked to refuse.
            waiting.pop(getattr(answer, "key", ""), None)
            yield answer

    def serve(self, limits: ServingLimits) -> LimitedService:
        """Its service, where it says that it serves."""
        engine = cast("ServingEngine", self.engine)
        with within(self.clock.seconds_to_open(), limit="open_seconds", doing=f"{self.who}: serve"):
            return LimitedService(engine.serve(limits), self.clock, who=self.who)

    def close(self) -> None:
        """Free what the engine holds."""
        seconds = self.clock.seconds_to_close()
        with within(seconds, limit="close_seconds", doing=f"{self.who}: closing it"):
            self.engine.close()


class LimitedService:
    """A service each of whose steps has a limit."""

    def __init__(self, service: Serving, clock: TimeLimits, *, who: str) -> None:
        """Stand before `service`, of the engine that `who` names."""
        self.service, self.clock, self.who = service, clock, who

    @property
    def idle(self) -> bool:
        """Whether no request is left."""
        return self.service.idle

    @property
    def by_clock(self) -> bool:
        return self.service.by_clock

    def submit(self, request: Request) -> None:
        self.service.submit(request)

    def cancel(self, key: str) -> bool:
        return self.service.cancel(key)

    def advance(self) -> Sequence[ServedEvent]:
        """One step, in the time of an answer."""
        seconds = self.clock.seconds_to_answer(tokens=0)
        with within(seconds, limit="answer_seconds", doing=f"{self.who}: a step of its service"):
            return self.service.advance()
