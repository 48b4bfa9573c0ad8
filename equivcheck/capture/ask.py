"""Put requests to an engine and take what comes: answers, or why there is none.

An engine is somebody else's code. Whatever it raises, `SystemExit` included, becomes a record that
names the request, and so does an answer that no record can hold or no decoder can mean; what it had
answered before is kept. What it gives without having been asked ends the run.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import msgspec

from equivcheck.core.bounds import RequestLimits, out_of_bounds, too_long
from equivcheck.core.engine import Engine
from equivcheck.core.errors import LONGEST_MESSAGE, EngineError, EngineGoneError, describe
from equivcheck.core.escape import head, visible
from equivcheck.core.generation import Generation, Request
from equivcheck.core.validation import unrecordable
from equivcheck.records.records import Failed

LOG = logging.getLogger(__name__)
_ENDED = object()


def ask(engine: Engine, requests: Sequence[Request], *, arm: str) -> Iterator[Generation | Failed]:
    """Yield an answer or a failure for each request, as they come.

    Where an engine breaks on several requests, those without an answer are put to it again one by
    one, so that one bad request costs no other its answer.

    Raises:
        EngineError: the engine answered what it was not asked, or twice, gave something else than
            answers, or broke when it had answered everything.
        EngineGoneError: it says that it can answer nothing more.
    """
    waiting = {request.key: request for request in requests}
    answers = _generate(engine, requests)
    while True:
        try:
            given = next(answers, _ENDED)
        except EngineGoneError:
            raise
        # An adapter may raise anything; a failure is recorded and never taken for an answer.
        except (Exception, SystemExit) as error:
            if not waiting:
                told = f"{named(engine, arm=arm)} broke after its last answer"
                raise EngineError(f"{told}: {describe(error)}") from error
            yield from _ask_singly(engine, list(waiting.values()), arm=arm, error=error)
            return
        if given is _ENDED:
            break
        answer = as_answer(given, who=named(engine, arm=arm))
        request = waiting.pop(answer.key, None)
        if request is None:
            raise EngineError(_unasked(answer.key, requests, arm=arm, engine=engine))
        if wrong := unusable(answer, request):
            yield Failed(arm=arm, key=answer.key, message=wrong[:LONGEST_MESSAGE])
        else:
            yield answer
    for key in waiting:
        yield Failed(arm=arm, key=key, message="the engine ended without an answer")


@contextmanager
def closing(engine: Engine, *, arm: str) -> Iterator[Engine]:
    """Close an engine behind its work; where it breaks then, that is said and costs nothing."""
    told = named(engine, arm=arm)
    try:
        yield engine
    finally:
        try:
            engine.close()
        except (Exception, SystemExit) as error:
            LOG.warning("%s", visible(f"{told} broke as it was closed: {describe(error)}"))


def as_answer(given: object, *, who: str) -> Generation:
    """What an engine gave, where that is an answer under some key.

    Raises:
        EngineError: it is not.
    """
    if not isinstance(given, Generation):
        raise EngineError(
            f"{who} gave a value of type {type(given).__name__} as an answer, not Generation"
        )
    if not isinstance(given.key, str):
        raise EngineError(
            f"{who} gave an answer whose key is of type {type(given.key).__name__}, not str"
        )
    return given


def unusable(answer: Generation, request: Request) -> str | None:
    """Why an answer cannot be taken, with field, value and bound; None: it can."""
    limits = limits_of(request)
    # Lengths first: the rest looks at every entry.
    wrong = too_long(answer, limits)
    if wrong is None and (untyped := unrecordable(answer)):
        return f"no record can hold its answer: {untyped}"
    if wrong := wrong or out_of_bounds(answer, limits):
        return f"no decoder can mean its answer to {head(request.key, cells=120)!r}: {wrong}"
    return None


def limits_of(request: Request) -> RequestLimits:
    """What an answer to a request is held to."""
    return RequestLimits(tokens=request.max_new_tokens, prompt=len(request.prompt_ids))


def own_copies(requests: Sequence[Request]) -> list[Request]:
    """Requests that an engine may do with as it likes: what it changes, no other arm is asked.

    Tuples are shared, for nothing can change them.
    """
    return [
        msgspec.structs.replace(
            request,
            sampling=msgspec.structs.replace(
                request.sampling, logit_bias=dict(request.sampling.logit_bias)
            ),
        )
        for request in requests
    ]


def named(engine: Engine, *, arm: str) -> str:
    """An arm and its engine, for a message."""
    return f"{arm} ({engine.capabilities.engine})"


def _generate(engine: Engine, requests: Sequence[Request]) -> Iterator[object]:
    """What the engine gives; what raises when it is called raises like what raises later."""
    yield from engine.generate(own_copies(requests))


def _ask_singly(
    engine: Engine, requests: Sequence[Request], *, arm: str, error: BaseException
) -> Iterator[Generation | Failed]:
    if len(requests) == 1:
        yield Failed(arm=arm, key=requests[0].key, message=describe(error))
        return
    for request in requests:
        yield from ask(engine, [request], arm=arm)


def _unasked(key: str, requests: Sequence[Request], *, arm: str, engine: Engine) -> str:
    how = "twice" if key in {request.key for request in requests} else "without having been asked"
    return f"{named(engine, arm=arm)} answered {head(key, cells=120)!r} {how}"
