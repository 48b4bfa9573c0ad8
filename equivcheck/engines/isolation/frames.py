"""What goes between a run and an engine in a process of its own: msgpack frames, with a length.

The messages carry the project's own nouns. Neither side trusts the other's bytes.
"""

from __future__ import annotations

import struct
from typing import Literal

import msgspec
from msgspec import Struct

from equivcheck.core.engine import Capabilities
from equivcheck.core.errors import EngineError, EquivcheckError, PairError, SettingsError
from equivcheck.core.generation import Generation, Request
from equivcheck.core.serving import ServedEvent, ServingLimits
from equivcheck.core.settings import EngineSetup
from equivcheck.core.validation import explain

HEAD = struct.Struct(">4sI")
MARK = b"eqv1"
"""Starts every frame; changes with the protocol."""
MOST_BYTES = 2**30

Kind = Literal["engine", "pair", "settings"]
_ERRORS: dict[Kind, type[EquivcheckError]] = {
    "settings": SettingsError,
    "pair": PairError,
    "engine": EngineError,
}


class FrameError(Exception):
    """Bytes that are no frame, or a frame that holds no message."""


class Open(Struct, frozen=True, kw_only=True, tag="open"):
    """To the engine's process: open the engine."""

    spec: str
    setup: EngineSetup


class Ask(Struct, frozen=True, kw_only=True, tag="ask"):
    """To the engine's process: answer these."""

    requests: tuple[Request, ...]


class Serve(Struct, frozen=True, kw_only=True, tag="serve"):
    """To the engine's process: begin a service; the one before is abandoned."""

    limits: ServingLimits


class Submit(Struct, frozen=True, kw_only=True, tag="submit"):
    """To the engine's process: have the service answer this, too."""

    request: Request


class Cancel(Struct, frozen=True, kw_only=True, tag="cancel"):
    """To the engine's process: have the service give this request up."""

    key: str


class Advance(Struct, frozen=True, kw_only=True, tag="advance"):
    """To the engine's process: one step of the service."""


class Close(Struct, frozen=True, kw_only=True, tag="close"):
    """To the engine's process: close the engine and end."""


class Started(Struct, frozen=True, kw_only=True, tag="started"):
    """From the engine's process: it runs, and has not touched the engine yet."""

    version: str
    """Version of equivcheck there."""
    python: str


class Opened(Struct, frozen=True, kw_only=True, tag="opened"):
    """From the engine's process: what the engine is."""

    capabilities: Capabilities


class AnswerFrame(Struct, frozen=True, kw_only=True, tag="answer"):
    """From the engine's process: one answer."""

    generation: Generation


class Done(Struct, frozen=True, kw_only=True, tag="done"):
    """From the engine's process: the engine has ended its answers."""

    costs: tuple[str, ...] = ()


class InService(Struct, frozen=True, kw_only=True, tag="in-service"):
    """From the engine's process: the service did what it was told to."""

    events: tuple[ServedEvent, ...] = ()
    idle: bool
    by_clock: bool
    found: bool = False
    """Whether there was a request to be given up."""


class Broke(Struct, frozen=True, kw_only=True, tag="broke"):
    """From the engine's process: what was asked last raised an error."""

    kind: Kind
    message: str

    def error(self, *, who: str) -> EquivcheckError:
        """The error as it would have been raised here."""
        return _ERRORS[self.kind](f"{who}: {self.message}" if who else self.message)


class Closed(Struct, frozen=True, kw_only=True, tag="closed"):
    """From the engine's process: the engine is closed."""


ToService = Serve | Submit | Cancel | Advance
ToEngine = Open | Ask | ToService | Close
FromEngine = Started | Opened | AnswerFrame | Done | InService | Broke | Closed

_encode = msgspec.msgpack.Encoder().encode
_to_engine: msgspec.msgpack.Decoder[ToEngine] = msgspec.msgpack.Decoder(ToEngine)
_from_engine: msgspec.msgpack.Decoder[FromEngine] = msgspec.msgpack.Decoder(FromEngine)


def frame(message: ToEngine | FromEngine) -> bytes:
    """A message as bytes.

    Raises:
        FrameError: it is larger than a frame may be.
        TypeError, ValueError: it holds what is none of its types, e.g. an element of a tensor.
    """
    body = _encode(message)
    if len(body) > MOST_BYTES:
        raise FrameError(f"a message of {len(body)} bytes, at most {MOST_BYTES}")
    return HEAD.pack(MARK, len(body)) + body


def size_of_body(head: bytes) -> int:
    """Bytes that follow the head of a frame.

    Raises:
        FrameError: it is no head, or announces more than a frame may hold.
    """
    mark, size = HEAD.unpack(head)
    if mark != MARK:
        raise FrameError(f"{head!r} is no frame")
    if size > MOST_BYTES:
        raise FrameError(f"a message of {size} bytes, at most {MOST_BYTES}")
    return int(size)


def read_to_engine(body: bytes) -> ToEngine:
    """A message to an engine's process.

    Raises:
        FrameError: it is none.
    """
    try:
        return _to_engine.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FrameError(_why(error)) from error


def read_from_engine(body: bytes) -> FromEngine:
    """A message from an engine's process.

    Raises:
        FrameError: it is none, e.g. an answer with a field of a wrong type.
    """
    try:
        return _from_engine.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FrameError(_why(error)) from error


def kind_of(error: BaseException) -> Kind:
    """Under which name an error goes over the wire."""
    for kind, shape in _ERRORS.items():
        if isinstance(error, shape):
            return kind
    return "engine"


def _why(error: Exception) -> str:
    if isinstance(error, msgspec.ValidationError):
        return explain(error, {"generation": Generation, "capabilities": Capabilities})
    return str(error) or type(error).__name__
