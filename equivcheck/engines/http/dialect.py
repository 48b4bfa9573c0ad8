"""What a dialect has to give, and what all of them read alike: who ended an answer, and where.

A dialect says a request in a server's words and reads the answer; it opens no connection itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

import msgspec
from msgspec import Struct

from equivcheck.core.detokenise import Detokenise, stop_completed_at
from equivcheck.core.engine import Rule
from equivcheck.core.errors import EngineError
from equivcheck.core.generation import FinishReason, Generation, Request
from equivcheck.core.serving import TimedAnswer
from equivcheck.core.validation import decoded, explain
from equivcheck.engines.http.wire import Reply, Wire

Shape = TypeVar("Shape", bound=Struct)


class PairWords(NamedTuple):
    """What a dialect has to know of the pair."""

    eos_token_ids: tuple[int, ...]
    vocab_size: int
    detokenise: Detokenise
    text_of: Any
    """From an id to its piece of text, or None."""
    tokenizer: Any = None
    """The pair's; None: nothing is asked by text."""


class ServerOptions(NamedTuple):
    """What the user said of a server; None: to be found out."""

    model: str | None
    gamma: int | None
    rule: Rule | None
    stream: bool = False
    """Whether answers are streamed, so that their chunks tell verify steps."""
    text: bool = False
    """Whether a server is asked for text, though it may have token ids."""
    chat: bool = False
    """Whether it is asked by messages."""


class ServerCapabilities(Struct, frozen=True, kw_only=True):
    """What a server told of itself as it was opened."""

    versions: dict[str, str]
    gamma: int
    """Most draft tokens a step; 0: none, or it does not say."""
    counts: bool
    """Whether its answers count their drafts."""
    rule: Rule = "rejection"
    method: str | None = None
    """As in `Capabilities.method`, where the server says how it drafts."""
    lossy: tuple[str, ...] = ()
    """As in `Capabilities.lossy`."""
    text_alone: bool = False
    """Whether its answers are text and no token ids."""
    sampled: bool = True
    refuses: tuple[str, ...] = ()
    ranges: dict[str, tuple[float, float]] = {}
    quantised: str | None = None
    """How its weights are packed, where that is no dtype; None: they are not, or it is not told."""
    context: int | None = None
    """Positions a request may take; None: not told."""
    slots: int | None = None
    """Requests that it serves at once; None: not told."""
    notes: tuple[str, ...] = ()


class Dialect(Protocol):
    """How one kind of server is spoken to."""

    wire: Wire

    def __init__(self, wire: Wire, pair: PairWords, asked: ServerOptions) -> None:
        """Ask nothing yet."""
        ...

    def open(self) -> ServerCapabilities:
        """Ask the server what it is, once, and keep what is needed to ask it more.

        Raises:
            EngineError: it cannot be used, or not by this dialect.
        """
        ...

    def identity(self) -> dict[str, str]:
        """Which model the server has now: asked again behind each answer, so it has to be cheap.

        Raises:
            EngineError: it does not say.
        """
        ...

    def answer(self, request: Request) -> Generation:
        """Put a request and read the answer.

        Raises:
            EngineError: it was refused, or answered with what cannot be used.
        """
        ...


@runtime_checkable
class StreamingDialect(Protocol):
    """A dialect in which answers can come token by token."""

    def answer_timed(self, request: Request) -> TimedAnswer:
        """As `Dialect.answer`, and when its tokens came.

        Raises:
            EngineError: as `Dialect.answer` does.
        """
        ...


def read(reply: Reply, shape: type[Shape], *, wire: Wire, path: str) -> Shape:
    """A reply as a struct.

    Raises:
        EngineError: its status is none of success, or it is no such JSON.
    """
    if reply.status != 200:
        raise EngineError(f"{wire.url}{path}: {wire.said(reply)}")
    try:
        return decoded(lambda data: msgspec.json.decode(data, type=shape), reply.body)
    except msgspec.DecodeError as error:
        raise EngineError(f"{wire.url}{path}: {explain(error, {'': shape})}") from error


def stop_ids(request: Request, eos_token_ids: Sequence[int]) -> list[int]:
    """Every id that ends a request: those of the pair unless they are ignored, and its own."""
    ends = () if request.ignore_eos else eos_token_ids
    return list(dict.fromkeys((*ends, *request.stop_token_ids)))


def trial_request() -> Request:
    """One token after a prompt of one, to see how a server answers."""
    return Request(key="trial", prompt_ids=(1,), max_new_tokens=1, ignore_eos=True)


class Ending(NamedTuple):
    """How a server says that an answer ended."""

    stopped: bool
    """By an id or a stop string, and not by a limit."""
    by_string: bool = False
    block: int = 0
    """Most tokens that it may have decoded beyond a stop string before it looked for one."""


def ended(
    token_ids: Sequence[int], request: Request, pair: PairWords, ending: Ending
) -> tuple[tuple[int, ...], FinishReason]:
    """An answer up to where a stop string is complete, and why it ended; a stop goes before length.

    A server that decodes in blocks looks for stop strings behind each block: what a block holds
    beyond one never reached the text. More than that is left in place, for the checks to see.

    Raises:
        EngineError: it stopped, and neither an id nor a string of the request says why.
    """
    kept = tuple(token_ids)
    if ending.by_string:
        completed = stop_completed_at(pair.detokenise, kept, request.stop)
        if completed is not None and len(kept) - completed - 1 <= ending.block:
            kept = kept[: completed + 1]
        return kept, "stop"
    last = kept[-1] if kept else None
    if not request.ignore_eos and last in pair.eos_token_ids:
        return kept, "eos"
    if last in request.stop_token_ids:
        return kept, "stop"
    if ending.stopped:
        raise EngineError(
            f"the answer to {request.key} ended at token {last}, which ends no text of the pair "
            f"and is no stop of the request: the server's model may be another"
        )
    return kept, "length"
