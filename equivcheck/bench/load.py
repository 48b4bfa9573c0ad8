"""Puts requests to an engine at given times, and notes when their tokens come.

A request is asked when its time has come, whatever has become of those before it. Where the engine
or the client was busy then, it is asked late, and its latencies count from when it came all the
same: otherwise an engine that is slow would be asked less.

PYTEST_DONT_REWRITE: this code is timed.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple, Protocol, cast

from equivcheck.capture.ask import as_answer, own_copies
from equivcheck.capture.serve import PATIENCE
from equivcheck.core.engine import Engine
from equivcheck.core.errors import EngineError, describe
from equivcheck.core.generation import Generation, Request
from equivcheck.core.serving import (
    Emission,
    Serving,
    ServingEngine,
    ServingLimits,
    TimedAnswer,
    TimedEngine,
)
from equivcheck.engines.limits import LimitedEngine, inner, within
from equivcheck.metrics.load_records import Load


class Answered(NamedTuple):
    """An answer, and how the request fared."""

    generation: Generation
    load: Load | None = None
    """None: it did not come at a time of its own."""


class Times(Protocol):
    """A clock that can be waited by."""

    def now(self) -> float:
        """Seconds."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait, perhaps not as long."""
        ...


class HostTimes:
    """The host's clock."""

    now = staticmethod(time.perf_counter)
    sleep = staticmethod(time.sleep)


def refuse_unless_loadable(engine: Engine, *, arm: str) -> None:
    """Refuse an engine that can only be asked for a list at once.

    Raises:
        EngineError: it is one.
    """
    if not engine.capabilities.serves and not isinstance(inner(engine), TimedEngine):
        raise EngineError(
            f"arm {arm}: its engine takes no request while it answers others, so nothing can come "
            f"at a time of its own; --arrivals measures native, vllm and http"
        )


def under_load(
    engine: Engine,
    requests: Sequence[Request],
    times: Sequence[float],
    *,
    arm: str,
    clock: Times | None = None,
) -> list[Answered]:
    """An engine's answers to requests that come at these times, in the order of coming.

    Raises:
        EngineError: it broke, or answered anything else than what it was asked.
    """
    clock, bare, copies = clock or HostTimes(), inner(engine), own_copies(requests)
    seconds = None
    if isinstance(engine, LimitedEngine):
        seconds = engine.clock.seconds_to_answer(tokens=sum(r.max_new_tokens for r in requests))
    seconds = None if seconds is None else seconds + max(times)
    try:
        with within(seconds, limit="answer_seconds", doing=f"arm {arm}: {len(requests)} requests"):
            # One that offers both tells more of when its tokens came if it is asked by threads.
            if isinstance(bare, TimedEngine):
                found = stream(bare, copies, times, clock=clock)
            else:
                service = cast("ServingEngine", bare).serve(ServingLimits())
                found = serve(service, copies, times, clock=clock)
    # An adapter may raise anything; here it ends the measurement, which can be resumed.
    except (Exception, SystemExit) as error:
        raise EngineError(f"arm {arm} broke: {describe(error)}") from error
    if found.keys() != {request.key for request in requests}:
        raise EngineError(f"arm {arm} answered {len(found)} of {len(requests)} requests")
    for each in found.values():
        as_answer(each.generation, who=f"arm {arm}")
    return [found[request.key] for request in requests]


def serve(
    service: Serving, requests: Sequence[Request], times: Sequence[float], *, clock: Times
) -> dict[str, Answered]:
    """Have a service answer requests as they come, step by step; by key.

    Raises:
        EngineError: it cannot serve one, or does not come to an end.
    """
    coming = deque(zip(times, requests, strict=True))
    steps = PATIENCE * sum(len(each.prompt_ids) + each.max_new_tokens for each in requests)
    at, asked = dict[str, float](), dict[str, float]()
    told: dict[str, list[Emission]] = {request.key: [] for request in requests}
    found: dict[str, Answered] = {}
    began = clock.now()
    while coming or not service.idle:
        now = clock.now() - began
        while coming and coming[0][0] <= now:
            due, request = coming.popleft()
            at[request.key], asked[request.key] = due, now - due
            service.submit(request)
        if service.idle:
            clock.sleep(coming[0][0] - now)
            continue
        happened = service.advance()
        now, steps = clock.now() - began, steps - 1
        for each in happened:
            if each.tokens:
                came = Emission(seconds=now - at[each.key], tokens=len(each.tokens))
                told[each.key].append(came)
            if each.generation is not None:
                load = Load(
                    at=at[each.key],
                    asked=asked[each.key],
                    finished=now - at[each.key],
                    emissions=tuple(told[each.key]),
                )
                found[each.key] = Answered(each.generation, load)
        if steps < 0:
            raise EngineError(f"the service has not come to an end with {len(found)} answers")
    return found


class ThreadResult(NamedTuple):
    """What one thread brought."""

    moment: float
    """When it asked."""
    answer: TimedAnswer


def stream(
    engine: TimedEngine, requests: Sequence[Request], times: Sequence[float], *, clock: Times
) -> dict[str, Answered]:
    """Ask for each answer in a thread of its own, as requests come; by key.

    Where the caller stops early, what is under way is broken off as the engine is closed.

    Raises:
        EngineError: the first that kept an answer away; nothing more is asked then.
    """

    def ask(request: Request) -> ThreadResult:
        moment = clock.now()
        return ThreadResult(moment, engine.ask_timed(request))

    pool = ThreadPoolExecutor(max_workers=len(requests))
    futures: list[Future[ThreadResult]] = []
    began = clock.now()
    try:
        for due, request in zip(times, requests, strict=True):
            while (left := due - (clock.now() - began)) > 0:
                clock.sleep(left)
            if any(each.done() and each.exception() for each in futures):
                break
            futures.append(pool.submit(ask, request))
        asked = [each.result() for each in futures]
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return {
        each.answer.generation.key: Answered(
            each.answer.generation, load_of(each, began=began, due=due)
        )
        for due, each in zip(times, asked, strict=True)
    }


def load_of(asked: ThreadResult, *, began: float, due: float) -> Load:
    """How a request fared that came `due` seconds after the run had begun."""

    def since(moment: float) -> float:
        # Not `moment - (began + due)`, which rounding can put below 0.
        return (moment - began) - due

    return Load(
        at=due,
        asked=since(asked.moment),
        finished=since(asked.answer.finished),
        emissions=tuple(
            Emission(seconds=since(each.seconds), tokens=each.tokens)
            for each in asked.answer.emissions
        ),
    )
