"""When a request comes, when it is given up, and how much a service may keep: parts of a suite.

Pure data, validated on construction; time is that of the service that is asked.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

Steps = Annotated[int, Meta(ge=0, lt=2**31)]
Seconds = Annotated[float, Meta(ge=0.0, le=86_400.0)]


class Delay(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """A time to wait: steps of the service, or seconds."""

    step: Steps = 0
    seconds: Seconds = 0.0

    def __post_init__(self) -> None:
        """Refuse both at once, which would be two times."""
        if self.step and self.seconds:
            raise ValueError("one of step and seconds, not both")


class Arrives(Delay, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """When a request comes: so long after its wave begins, or after what it comes after."""

    wave: Steps = 0
    """A wave begins when all requests of those before it have ended; the first begins at once."""


class Patience(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """How long an answer is waited for before the request is given up. Exactly one is set."""

    tokens: Steps | None = None
    """So many tokens of it, if it has not ended by then; 0: one step, whatever state it is in."""
    milliseconds: Annotated[float, Meta(ge=0.0, le=86_400_000.0)] | None = None
    """So long after it came."""

    def __post_init__(self) -> None:
        """Refuse two limits, and none."""
        if (self.tokens is None) == (self.milliseconds is None):
            raise ValueError("exactly one of tokens and milliseconds")


class ServingLimits(
    Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True
):
    """How much a service may keep, in tokens."""

    prefix_tokens: Annotated[int, Meta(ge=0)] = 4096
    """Prompt tokens that are kept for prompts that begin alike; 0: none are."""
    live_tokens: Annotated[int, Meta(ge=1)] | None = None
    """Tokens that requests in rows may hold together. Where the next step could exceed them, the
    request that came last is preempted, and recomputed later; one alone always runs. None: as
    many as the rows can hold."""
