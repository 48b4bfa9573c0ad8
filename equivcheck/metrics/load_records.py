"""The records of a measurement under load: when requests come, what came of each, and by when it
has to.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from equivcheck.core.bounds import shown
from equivcheck.core.serving import Emission

MOST_REQUESTS = 1000
"""Most requests of one run: each may be under way at once."""
MOST_RATE = 1e6
MOST_SECONDS = 1e9


class Arrivals(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """When the requests of a run come."""

    kind: Literal["poisson", "burst"]
    requests: int
    """Requests of one run. A burst has all of them at once."""
    rate: float = 0.0
    """Requests a second, where they come one by one."""

    @property
    def name(self) -> str:
        """``poisson:8, runs of 40`` or ``burst:4``, as `--arrivals` has it."""
        if self.kind == "burst":
            return f"burst:{self.requests}"
        return f"poisson:{self.rate:g}, runs of {self.requests}"

    @property
    def swept(self) -> Literal["rate", "burst"]:
        """What loads of its kind differ by."""
        return "burst" if self.kind == "burst" else "rate"

    @property
    def wrong(self) -> str | None:
        """What keeps requests from coming like this; None: nothing."""
        if not 1 <= self.requests <= MOST_REQUESTS:
            return f"{shown(self.requests)} requests a run, outside 1 to {MOST_REQUESTS}"
        if self.kind == "poisson" and not 0 < self.rate <= MOST_RATE:
            return f"{self.rate:g} requests a second, outside 0 to {MOST_RATE:g}"
        return None


class Objectives(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Most seconds that a request may take, to be counted as good; None: no limit."""

    ttft: float | None = None
    tpot: float | None = None
    e2e: float | None = None

    @property
    def wrong(self) -> str | None:
        """What of them cannot be; None: all can."""
        for name in self.__struct_fields__:
            seconds = getattr(self, name)
            if seconds is not None and not 0 < seconds <= MOST_SECONDS:
                return f"{name} within {seconds:g} seconds, outside 0 to {MOST_SECONDS:g}"
        return None

    @property
    def name(self) -> str:
        """``TTFT 300 ms, TPOT 50 ms``; empty: there are none."""
        return ", ".join(
            f"{name.upper()} {1e3 * seconds:g} ms"
            for name in self.__struct_fields__
            if (seconds := getattr(self, name)) is not None
        )


class Load(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How one request of a run fared."""

    at: float
    """Seconds after the run began at which it came; the same for all arms."""
    asked: float
    """Seconds after it came until the engine was told of it: an engine that is inside a step, or
    a busy client, takes it later. All latencies count from `at`."""
    finished: float
    """Seconds after it came until the whole answer was there."""
    emissions: tuple[Emission, ...] = ()
    """Seconds after it came, and tokens that came then. Empty: only the whole came."""

    def wrong(self, *, length: int) -> str | None:
        """What of it cannot be, for an answer of so many tokens; None: all can."""
        moments = [each.seconds for each in self.emissions]
        for seconds in (self.at, self.asked, self.finished, *moments):
            if not 0 <= seconds <= MOST_SECONDS:
                return f"load: {seconds:g} seconds, outside 0 to {MOST_SECONDS:g}"
        if not self.finished:
            return "load: it ended as it came"
        if moments != sorted(moments) or moments[-1:] > [self.finished]:
            return "load: tokens came before earlier ones, or behind the end"
        told = [each.tokens for each in self.emissions]
        if told and (min(told) < 1 or sum(told) != length):
            return f"load: {shown(sum(told))} tokens came, and the answer has {length}"
        return None

    @property
    def ttft(self) -> float | None:
        """Until its first token; None: not told."""
        return self.emissions[0].seconds if self.emissions else None

    @property
    def tpot(self) -> float | None:
        """``(E2E - TTFT) / (n - 1)``; None: not told, or of a single token."""
        later = sum(each.tokens for each in self.emissions) - 1
        return (self.finished - self.emissions[0].seconds) / later if later > 0 else None

    @property
    def e2e(self) -> float:
        """Until its end."""
        return self.finished

    def meets(self, objectives: Objectives) -> bool | None:
        """Whether it kept to all limits; None: one is about a time that is not told."""
        held = [
            None if (took := getattr(self, name)) is None else took <= most
            for name in objectives.__struct_fields__
            if (most := getattr(objectives, name)) is not None
        ]
        return False if False in held else None if None in held else True
