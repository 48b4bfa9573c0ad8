"""What a request needs that an engine says it refuses: known before anything is decoded. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from msgspec import Struct

from equivcheck.core.cases import Sampling
from equivcheck.core.generation import Request

OPTIONAL = {"stop": (), "stop_token_ids": (), "ignore_eos": False}
"""Fields of `Request` that a case may leave out, and their values then."""
OF_PROMPT: dict[str, Callable[[Request], bool]] = {
    "raw_prompt": lambda request: request.conversation is None,
    "tools": lambda request: request.conversation is not None and bool(request.conversation.tools),
}
"""What a prompt may be, and whether a request's is."""
REFUSABLE = (*Sampling.__struct_fields__, *OPTIONAL, *OF_PROMPT)
"""Names that `Capabilities.refuses` may hold."""
TOGETHER = "+"
"""Between names that an engine serves each by itself: ``min_p+top_p``."""


class LeftOut(Struct, frozen=True, kw_only=True):
    """A case that was asked of no arm, since an engine says that it refuses what the case needs."""

    key: str
    engine: str
    """Name of the engine that refuses it."""
    needs: tuple[str, ...]
    """Names of `REFUSABLE`, with the value where that is out of the engine's range."""


class RequestSupport(Protocol):
    """What an engine says of the requests it serves, as `Capabilities` do."""

    @property
    def sampled(self) -> bool:
        """Whether it draws at all."""
        ...

    @property
    def refuses(self) -> tuple[str, ...]:
        """As in `Capabilities`."""
        ...

    @property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """As in `Capabilities`."""
        ...


def lacking(told: RequestSupport, request: Request) -> tuple[str, ...]:
    """What a request needs and the engine does not serve: ``min_p``, ``temperature=5``."""
    greedy_only = () if told.sampled else ("temperature",)
    refused = [
        names
        for names in (*greedy_only, *told.refuses)
        if all(needs(request, name) for name in names.split(TOGETHER))
    ]
    return tuple(dict.fromkeys((*refused, *_outside(told, request.sampling))))


def needs(request: Request, name: str) -> bool:
    """Whether a request has what a name of `REFUSABLE` stands for."""
    if name in OF_PROMPT:
        return OF_PROMPT[name](request)
    if name in OPTIONAL:
        return bool(getattr(request, name) != OPTIONAL[name])
    plain = getattr(Sampling(), name, None)
    return plain is not None and bool(getattr(request.sampling, name) != plain)


def _outside(told: RequestSupport, sampling: Sampling) -> Iterator[str]:
    for name, (least, most) in told.ranges.items():
        value = getattr(sampling, name, None)
        if value == getattr(Sampling(), name, None):
            continue
        for each in value.values() if isinstance(value, dict) else (value,):
            if isinstance(each, int | float) and not least <= each <= most:
                yield f"{name}={each:g}"
