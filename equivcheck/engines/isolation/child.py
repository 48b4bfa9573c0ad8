"""The process of an engine: opens it, asks it what it is told to, and sends its answers back.

Started by `process.py`. Imports what every adapter imports, and then the adapter.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from platform import python_version
from typing import NoReturn, cast

from equivcheck import __version__
from equivcheck.core.engine import Engine
from equivcheck.core.errors import EngineError, describe
from equivcheck.core.generation import Generation, Request
from equivcheck.core.serving import ServedEvent, Serving, ServingEngine
from equivcheck.engines.isolation.frames import (
    HEAD,
    Advance,
    AnswerFrame,
    Ask,
    Broke,
    Cancel,
    Close,
    Closed,
    Done,
    FrameError,
    FromEngine,
    InService,
    Open,
    Opened,
    Serve,
    Started,
    Submit,
    ToEngine,
    ToService,
    frame,
    kind_of,
    read_to_engine,
    size_of_body,
)
from equivcheck.engines.registry import load_engine

COULD_NOT_SERVE = 70
"""Exit code where the other side has gone, or sent what is no message."""


def main(*, connection: int, lifeline: int) -> NoReturn:
    """Serve one engine until it is closed.

    Args:
        connection: File descriptor of the socket to the run.
        lifeline: Of a pipe whose other end the run holds open and never writes to.
    """
    for descriptor in (connection, lifeline):
        os.set_inheritable(descriptor, False)
    end_with_the_run(lifeline)
    with socket.socket(fileno=connection) as wire:
        serve(wire)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    # Without exit handlers, or waiting for threads that the engine has left running.
    os._exit(0)


def end_with_the_run(lifeline: int) -> None:
    """Have a process without an engine in it wait for the end of the run, and then end this group.

    The system's own signal at a parent's death would reach this process alone, and none that the
    engine has started. Forked twice, so that the engine has no child that it does not know.
    """
    if (between := os.fork()) != 0:
        os.waitpid(between, 0)
        os.close(lifeline)
        return
    if os.fork() != 0:
        os._exit(0)
    os.closerange(0, lifeline)
    os.closerange(lifeline + 1, lifeline + 64)
    os.read(lifeline, 1)
    os.killpg(0, signal.SIGKILL)
    os._exit(0)


def serve(wire: socket.socket) -> None:
    """Do what comes in, one message after the other."""
    send(wire, Started(version=__version__, python=python_version()))
    opened = receive(wire)
    if not isinstance(opened, Open):
        raise SystemExit(COULD_NOT_SERVE)
    try:
        engine = load_engine(opened.spec, opened.setup)
        told = frame(Opened(capabilities=engine.capabilities))
    # An adapter may raise anything; all of it is told to the run.
    except (Exception, SystemExit) as error:
        send(wire, broke(error))
        return
    wire.sendall(told)
    service = ServiceHere(engine)
    while not isinstance(message := receive(wire), Open | Close):
        if isinstance(message, Ask):
            answer(wire, engine, message.requests)
        else:
            wire.sendall(service.doing(message))
    if isinstance(message, Close):
        close(wire, engine)


def answer(wire: socket.socket, engine: Engine, requests: tuple[Request, ...]) -> None:
    """Send every answer as it comes, then that there are no more, or what broke."""
    try:
        for given in engine.generate(requests):
            wire.sendall(as_frame(given))
    except (Exception, SystemExit) as error:
        send(wire, broke(error))
        return
    costs = getattr(engine, "costs", ())
    plain = isinstance(costs, tuple) and all(isinstance(note, str) for note in costs)
    send(wire, Done(costs=costs if plain else ()))


def as_frame(given: object) -> bytes:
    """One answer as bytes.

    Raises:
        EngineError: it is none, or holds what no record can.
    """
    if not isinstance(given, Generation):
        raise EngineError(
            f"the engine gave a value of type {type(given).__name__} as an answer, not Generation"
        )
    try:
        return frame(AnswerFrame(generation=given))
    except (TypeError, ValueError, OverflowError, FrameError) as error:
        raise EngineError(f"no record can hold its answer to {given.key!r}: {error}") from error


class ServiceHere:
    """The engine's service that the run asks, one step at a time."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.service: Serving | None = None

    def doing(self, message: ToService) -> bytes:
        """Do what a message says; what is to be sent back."""
        try:
            return frame(self.do(message))
        # An adapter may raise anything, or tell what no frame holds.
        except (Exception, SystemExit) as error:
            return frame(broke(error))

    def do(self, message: ToService) -> InService:
        """Do what a message says.

        Raises:
            EngineError: there is no service; or the service refuses.
        """
        events: Sequence[ServedEvent] = ()
        found = False
        if isinstance(message, Serve):
            self.service = cast("ServingEngine", self.engine).serve(message.limits)
        if (service := self.service) is None:
            raise EngineError("no service has begun in this process")
        if isinstance(message, Submit):
            service.submit(message.request)
        elif isinstance(message, Cancel):
            found = service.cancel(message.key)
        elif isinstance(message, Advance):
            events = service.advance()
        return InService(
            events=tuple(events), idle=service.idle, by_clock=service.by_clock, found=found
        )


def close(wire: socket.socket, engine: Engine) -> None:
    """Close the engine, and say what came of it."""
    try:
        engine.close()
    except (Exception, SystemExit) as error:
        send(wire, broke(error))
        return
    send(wire, Closed())


def broke(error: BaseException) -> Broke:
    """An error for the run, in one line."""
    return Broke(kind=kind_of(error), message=describe(error))


def send(wire: socket.socket, message: FromEngine) -> None:
    """Send a message; where the run has gone there is nobody to tell."""
    with suppress(BrokenPipeError, ConnectionResetError):
        wire.sendall(frame(message))


def receive(wire: socket.socket) -> ToEngine:
    """The next message."""
    try:
        return read_to_engine(take(wire, size_of_body(take(wire, HEAD.size))))
    except FrameError as error:
        raise SystemExit(f"equivcheck: not a message: {error}") from error


def take(wire: socket.socket, size: int) -> bytes:
    """So many bytes. Ends the process where the run has gone."""
    taken = bytearray()
    while len(taken) < size:
        part = wire.recv(min(size - len(taken), 2**20))
        if not part:
            os._exit(COULD_NOT_SERVE)
        taken += part
    return bytes(taken)


if __name__ == "__main__":
    main(connection=int(sys.argv[1]), lifeline=int(sys.argv[2]))
