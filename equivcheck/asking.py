"""Put requests to an engine and take what comes: answers, or why there is none.

An engine is somebody else's code. Whatever it raises becomes a record that names the request, and
what it had answered before is kept; what it answers without having been asked ends the run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from equivcheck.engine import Engine
from equivcheck.errors import EngineError, EquivcheckError
from equivcheck.escape import head
from equivcheck.generation import Generation, Request
from equivcheck.records import Failed

LONGEST_MESSAGE = 500


def ask(engine: Engine, requests: Sequence[Request], *, arm: str) -> Iterator[Generation | Failed]:
    """Yield an answer or a failure for each request, as they come.

    Where an engine breaks on several requests, those without an answer are put to it again one by
    one, so that one bad request costs no other its answer.

    Raises:
        EngineError: the engine answered what it was not asked, or twice, or broke when it had
            answered everything.
    """
    waiting = {request.key: request for request in requests}
    answers = _generate(engine, requests)
    while True:
        try:
            generation = next(answers, None)
        # An adapter may raise anything; a failure is recorded and never taken for an answer.
        except Exception as error:
            if not waiting:
                told = f"{arm} ({engine.capabilities.engine}) broke after its last answer"
                raise EngineError(f"{told}: {describe(error)}") from error
            yield from _ask_singly(engine, list(waiting.values()), arm=arm, error=error)
            return
        if generation is None:
            break
        if waiting.pop(generation.key, None) is None:
            raise EngineError(_unasked(generation.key, requests, arm=arm, engine=engine))
        yield generation
    for key in waiting:
        yield Failed(arm=arm, key=key, message="the engine ended without an answer")


def _generate(engine: Engine, requests: Sequence[Request]) -> Iterator[Generation]:
    """The engine's answers; what raises already when it is called raises like what raises later."""
    yield from engine.generate(requests)


def _ask_singly(
    engine: Engine, requests: Sequence[Request], *, arm: str, error: Exception
) -> Iterator[Generation | Failed]:
    if len(requests) == 1:
        yield Failed(arm=arm, key=requests[0].key, message=describe(error))
        return
    for request in requests:
        yield from ask(engine, [request], arm=arm)


def describe(error: Exception) -> str:
    """An error in one line; its kind too, unless it is one of ours."""
    line = next((line for line in str(error).splitlines() if line.strip()), "")
    if not isinstance(error, EquivcheckError):
        line = f"{type(error).__name__}: {line}" if line else repr(error)
    return line[:LONGEST_MESSAGE]


def _unasked(key: str, requests: Sequence[Request], *, arm: str, engine: Engine) -> str:
    how = "twice" if key in {request.key for request in requests} else "without having been asked"
    return f"{arm} ({engine.capabilities.engine}) answered {head(key, cells=120)!r} {how}"
