"""A service of an engine in another process: each question and each step is one exchange."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from equivcheck.core.generation import Request
from equivcheck.core.serving import ServedEvent, ServingLimits
from equivcheck.engines.isolation.frames import (
    Advance,
    Cancel,
    InService,
    Serve,
    Submit,
    ToService,
)
from equivcheck.engines.isolation.process import EngineProcess

Exchange = Callable[[ToService, int, EngineProcess | None], tuple[EngineProcess, InService]]
"""Puts a message to the process, with the tokens that may yet come, and waits for what it says."""


class IsolatedService:
    """Requests that come and go in one process; with it the service ends."""

    def __init__(self, exchange: Exchange, limits: ServingLimits) -> None:
        """Begin a service there.

        Raises:
            EngineError: the process broke, or took too long.
        """
        self._exchange = exchange
        self._waiting: dict[str, int] = {}
        """By key, the most tokens of a request that has no answer yet."""
        self._process, told = exchange(Serve(limits=limits), 0, None)
        self.by_clock, self.idle = told.by_clock, told.idle

    def submit(self, request: Request) -> None:
        """Have a request answered, beside whatever else is.

        Raises:
            EngineError: it cannot be served as asked, or the process broke.
        """
        self._waiting[request.key] = request.max_new_tokens
        self._ask(Submit(request=request))

    def cancel(self, key: str) -> bool:
        """Give a request up; whether there was one.

        Raises:
            EngineError: the process broke.
        """
        self._waiting.pop(key, None)
        return self._ask(Cancel(key=key)).found

    def advance(self) -> Sequence[ServedEvent]:
        """Work on by one step; what happened.

        Raises:
            EngineError: the process broke, or was put to other work.
        """
        events = self._ask(Advance()).events
        for each in events:
            if each.happened == "finished":
                self._waiting.pop(each.key, None)
        return events

    def _ask(self, message: ToService) -> InService:
        _, told = self._exchange(message, sum(self._waiting.values()), self._process)
        self.idle = told.idle
        return told
