"""What an engine offers that serves: requests come, are given up and end while it works.

Beside `Engine.generate`, which takes a list and answers all of it. An engine that is asked by
several threads at once offers `TimedEngine` instead. Records and protocols only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol, runtime_checkable

from msgspec import Struct

from equivcheck.core.engine import Engine
from equivcheck.core.generation import Generation, Request
from equivcheck.core.times import ServingLimits as ServingLimits

Happened = Literal["seated", "begun", "tokens", "finished", "given up", "preempted"]


class ServedEvent(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something that happened to a request."""

    step: int
    """Step of the service, from 1."""
    key: str
    happened: Happened
    """seated: it was given a row. begun: its prompt is read, decoding begins or goes on. tokens:
    some came. preempted: it lost its row, and waits for another."""
    row: int | None = None
    """Row of the batch; None: it waited."""
    after: str | None = None
    """seated: the request that the row served before."""
    cached: int = 0
    """begun: tokens of its prompt that were not read but taken over from earlier requests."""
    source: str | None = None
    """begun: the request that the last of these were read for."""
    recomputed: int = 0
    """begun: tokens of its output that were computed again, after a preemption."""
    tokens: tuple[int, ...] = ()
    """Emitted, in order."""
    generation: Generation | None = None
    """finished: the whole answer."""


class Serving(Protocol):
    """A service: what it is asked and what happens in it."""

    def submit(self, request: Request) -> None:
        """Have a request answered, beside whatever else is.

        Raises:
            EngineError: it cannot be served as asked, or one of its key is being served.
        """
        ...

    def cancel(self, key: str) -> bool:
        """Give a request up, whatever state it is in; whether there was one to be given up.

        No event of it comes afterwards.
        """
        ...

    def advance(self) -> Sequence[ServedEvent]:
        """Work on by one step; what happened. Nothing, for good, where no request is left.

        Raises:
            EngineError: the engine was put to other work meanwhile.
        """
        ...

    @property
    def idle(self) -> bool:
        """Whether no request is left."""
        ...

    @property
    def by_clock(self) -> bool:
        """Whether a step is a stretch of time, in which an answer is told when it is whole."""
        ...


class ServingEngine(Engine, Protocol):
    """An engine whose capabilities say that it `serves`."""

    def serve(self, limits: ServingLimits) -> Serving:
        """Begin a service that knows of nothing served before; what was going on is abandoned."""
        ...


class Emission(Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """Tokens of one request that came at one moment."""

    seconds: float
    """On whichever clock: since the request came, or of `time.perf_counter`."""
    tokens: int


class TimedAnswer(NamedTuple):
    """An answer, and when what of it came, by `time.perf_counter`."""

    generation: Generation
    emissions: tuple[Emission, ...]
    """In order; empty: only the whole came."""
    finished: float


@runtime_checkable
class TimedEngine(Protocol):
    """An engine that may be asked from several threads at once and says when tokens came."""

    def ask_timed(self, request: Request) -> TimedAnswer:
        """One answer.

        Raises:
            EngineError: there is none that can be used.
        """
        ...
