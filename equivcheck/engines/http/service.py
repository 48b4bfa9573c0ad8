"""A server as a service: a request is put when it comes, and given up by closing its connection.

What happens inside the server is not told: which row a request has, who is preempted, what is
reused. Nor are tokens as they come. A step is a stretch of time.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

from equivcheck.core.errors import EngineError
from equivcheck.core.generation import Generation, Request
from equivcheck.core.serving import Happened, ServedEvent
from equivcheck.engines.http.dialect import Dialect
from equivcheck.engines.http.wire import Wire

STEP_SECONDS = 0.005
MOST_UNDER_WAY = 64
"""Connections at once; who comes on top of that waits here."""


class PendingRequest(NamedTuple):
    """A request that was put and has no answer yet."""

    wire: Wire
    """Its own, with a connection that can be closed without anybody else's."""
    answer: Future[Generation]


class HttpService:
    """Requests to one server that come and go."""

    by_clock = True

    def __init__(
        self,
        dialect: Dialect,
        *,
        refusal: Callable[[Request], EngineError | None],
        confirm: Callable[[], None],
    ) -> None:
        """Nobody has come yet.

        Args:
            dialect: that was opened.
            refusal: says why a request cannot be served as asked; None: it can.
            confirm: raises an EngineGoneError where the server has another model by now.
        """
        self.dialect, self.refusal, self.confirm = dialect, refusal, confirm
        self.pool = ThreadPoolExecutor(max_workers=MOST_UNDER_WAY)
        self.under_way: dict[str, PendingRequest] = {}
        self.steps = 0
        self.happened: list[ServedEvent] = []

    @property
    def idle(self) -> bool:
        """Whether no request is left."""
        return not self.under_way

    def submit(self, request: Request) -> None:
        """Put a request.

        Raises:
            EngineError: it cannot be served as asked, or one of its key is under way.
        """
        if (wrong := self.refusal(request)) is not None:
            raise wrong
        if request.key in self.under_way:
            raise EngineError(f"{self.dialect.wire.url}: {request.key} is under way already")
        own = self.dialect.wire.another()
        dialect = copy.copy(self.dialect)
        dialect.wire = own
        self.under_way[request.key] = PendingRequest(
            own, self.pool.submit(self.answered, dialect, request)
        )
        self.tell("begun", request.key)

    def cancel(self, key: str) -> bool:
        """Close the connection of a request."""
        found = self.under_way.pop(key, None)
        if found is None:
            return False
        found.answer.cancel()
        found.wire.break_off()
        self.tell("given up", key)
        return True

    def advance(self) -> Sequence[ServedEvent]:
        """Wait for a step's time, and take what has been answered.

        Raises:
            EngineError: the server has not answered a request as it should.
        """
        self.steps += 1
        time.sleep(STEP_SECONDS if self.under_way else 0)
        for key, (_, answer) in list(self.under_way.items()):
            if answer.done():
                del self.under_way[key]
                generation = answer.result()
                self.tell("tokens", key, tokens=generation.token_ids)
                self.tell("finished", key, generation=generation)
        happened, self.happened = self.happened, []
        return happened

    def answered(self, dialect: Dialect, request: Request) -> Generation:
        """One answer, over a connection of its own that is closed behind it."""
        try:
            answer = dialect.answer(request)
        finally:
            dialect.wire.close()
        self.confirm()
        return answer

    def close(self) -> None:
        """Give up whatever is under way."""
        for key in list(self.under_way):
            self.cancel(key)
        self.pool.shutdown(wait=False, cancel_futures=True)

    def tell(
        self,
        happened: Happened,
        key: str,
        *,
        tokens: tuple[int, ...] = (),
        generation: Generation | None = None,
    ) -> None:
        """Note an event."""
        self.happened.append(
            ServedEvent(
                step=self.steps, key=key, happened=happened, tokens=tokens, generation=generation
            )
        )
