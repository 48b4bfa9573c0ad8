"""Engines by a name of the user's own: ``[tool.equivcheck.engine.NAME]``, and limits on their time.

What a table means is up to `equivcheck.engines`; here is what may stand in one.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct
from msgspec.structs import replace

Seconds = Annotated[float, Meta(gt=0)] | Literal["off"]
"""A limit; off: none."""


class TimeLimits(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How long an engine may take before the process that it runs in is ended."""

    open_seconds: Seconds = 1800.0
    answer_seconds: Seconds = 600.0
    """For the next answer, from the question or from the answer before."""
    token_seconds: Annotated[float, Meta(ge=0)] = 2.0
    """Added to `answer_seconds` for each token asked for and not answered yet."""
    close_seconds: Seconds = 60.0

    def seconds_to_open(self) -> float | None:
        """None: no limit."""
        return None if self.open_seconds == "off" else self.open_seconds

    def seconds_to_answer(self, *, tokens: int) -> float | None:
        """Until the next answer, while so many new tokens are awaited; None: no limit."""
        if self.answer_seconds == "off":
            return None
        return self.answer_seconds + self.token_seconds * tokens

    def seconds_to_close(self) -> float | None:
        """None: no limit."""
        return None if self.close_seconds == "off" else self.close_seconds


class EngineTable(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An engine with all that it takes to open it. None: as for any other engine."""

    engine: str
    """``name`` or ``name:option=value,...`` of an installed engine; options that are written behind
    the table's name are added, and win."""
    isolated: bool = False
    """Whether it runs in a process of its own."""
    python: str | None = None
    """Interpreter of that process, with the engine and equivcheck installed. None: this one."""
    env: dict[str, str] = {}
    """Environment variables of that process, on top of those of this one. Kept in records."""
    start: str | None = None
    """Command that starts the server whose URL `engine` is, on this machine. `env` is added to its
    environment, and `open_seconds` and `close_seconds` are its limits. None: it runs already."""
    ready: str | None = None
    """Page of the server that answers with status 200 as soon as it can serve; None: its models."""
    stop: str | None = None
    """Command that ends the server; None: it is sent SIGTERM, as it is behind this command too."""
    open_seconds: Seconds | None = None
    answer_seconds: Seconds | None = None
    token_seconds: Annotated[float, Meta(ge=0)] | None = None
    close_seconds: Seconds | None = None

    @property
    def of_process(self) -> dict[str, object]:
        """What was said about the process of its own, by name."""
        named = {"python": self.python, "env": self.env or None}
        return {name: value for name, value in named.items() if value is not None}

    @property
    def limits(self) -> dict[str, Seconds]:
        """What was said about its time, by name."""
        named = {
            "open_seconds": self.open_seconds,
            "answer_seconds": self.answer_seconds,
            "token_seconds": self.token_seconds,
            "close_seconds": self.close_seconds,
        }
        return {name: value for name, value in named.items() if value is not None}

    def clock(self, general: TimeLimits) -> TimeLimits:
        """The limits of this engine: its own where it has some, else the general ones."""
        return replace(general, **self.limits)
