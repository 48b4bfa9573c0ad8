"""A server as a scorer: what it holds of given tokens, several requests at once.

Asked of the same engine that answers; a dialect without a class here cannot score.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from equivcheck.core.engine import UNTOLD, Engine
from equivcheck.core.errors import EngineError, EngineGoneError, SettingsError
from equivcheck.engines.http.engine import HttpEngine
from equivcheck.engines.http.llamacpp import LlamacppDialect
from equivcheck.engines.http.llamacpp_rows import LlamacppRows
from equivcheck.engines.http.rows import Greedy, TokenRows
from equivcheck.engines.http.sglang import SglangDialect
from equivcheck.engines.http.sglang_rows import SglangRows
from equivcheck.engines.http.vllm import VllmDialect
from equivcheck.engines.http.vllm_rows import VllmRows, greedily
from equivcheck.engines.http.wire import BrokeError

WANTED = 256
"""Log-probabilities a place, where nothing else is asked for: a server takes some 30 us for each,
those of the prompt included."""
Output = tuple[Sequence[int], Sequence[int]]
"""A prompt, and the tokens behind it that are to be scored."""


class RowScorer(Protocol):
    """How one dialect scores."""

    most: int
    """Log-probabilities a place."""

    def rows(self, *, prompt: Sequence[int], output: Sequence[int]) -> TokenRows:
        """What the server holds of an output.

        Raises:
            EngineError: it refuses, or answers with what cannot be used.
            EngineGoneError: the server is gone, or another one.
        """
        ...


class HttpScorer:
    """Scores outputs by an engine that is open; whoever opened it closes it."""

    def __init__(self, engine: HttpEngine) -> None:
        """Find out what it tells.

        Raises:
            SettingsError: its dialect cannot score, or nobody says in which numbers it computes.
            EngineError: it tells no log-probabilities.
        """
        self.engine = engine
        self.vocab = engine.files.vocab_size
        if engine.dtype == UNTOLD:
            raise SettingsError(
                f"{engine.wire.url} is to score: say the dtype it computes in with dtype=NAME"
            )
        self.by = _open(engine)

    @property
    def context(self) -> int | None:
        """Positions that a request may take; None: not told."""
        return self.engine.told.context

    @property
    def name(self) -> str:
        """Who scores, for records and people."""
        told = "all" if self.by.most >= self.vocab else f"the best {self.by.most:,}"
        return f"{self.engine.name} at {self.engine.wire.url}, {told} log-probabilities a token"

    def score(self, outputs: Sequence[Output]) -> Iterator[TokenRows | EngineError]:
        """What it holds of each output, or why it holds nothing, in their order.

        Raises:
            EngineGoneError: the server is gone, breaks, or has another model.
        """
        pool = ThreadPoolExecutor(max_workers=self.engine.width)
        try:
            yield from pool.map(self._one, outputs)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _one(self, output: Output) -> TokenRows | EngineError:
        found: TokenRows | EngineError
        try:
            prompt, answer = output
            found = self.by.rows(prompt=prompt, output=answer)
        except BrokeError as error:
            raise EngineGoneError(str(error)) from error
        except EngineGoneError:
            raise
        except EngineError as error:
            found = error
        self.engine.confirm()
        return found


def open_scorer(engine: Engine) -> HttpScorer:
    """The scorer of an open engine.

    Raises:
        SettingsError: it is none by URL, or its dialect cannot score.
        EngineError: it tells no log-probabilities.
    """
    found = _by_url(engine)
    if found is None:
        told = engine.capabilities.engine
        raise SettingsError(f"scorer: {told} is no server by URL; name one, http:url=URL")
    return HttpScorer(found)


def greedily_by(engine: Engine, prompt: Sequence[int], *, tokens: int) -> Greedy | None:
    """What an engine decodes greedily, with its own log-probabilities; None: it cannot tell.

    Raises:
        EngineError: it is a server that should, and does not.
    """
    found = _by_url(engine)
    if found is None or not isinstance(found.dialect, VllmDialect):
        return None
    return greedily(found.dialect, prompt, tokens=tokens)


def _by_url(engine: Engine) -> HttpEngine | None:
    """The engine by URL behind what was put before it."""
    inner: object = engine
    while inner is not None and not isinstance(inner, HttpEngine):
        inner = getattr(inner, "engine", None)
    return inner


def _open(engine: HttpEngine) -> RowScorer:
    wanted = engine.options.logprobs or WANTED
    match engine.dialect:
        case VllmDialect() as dialect:
            return VllmRows(dialect, wanted=wanted)
        case SglangDialect() as dialect:
            return SglangRows(dialect, wanted=wanted)
        case LlamacppDialect() as dialect:
            return LlamacppRows(dialect, wanted=wanted)
    raise SettingsError(
        f"{engine.wire.url}: a server of the dialect {engine.name} cannot score given tokens; "
        f"dialects that can: vllm, sglang, llamacpp"
    )
