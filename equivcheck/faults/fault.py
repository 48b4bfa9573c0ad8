"""What a seeded fault is, and how one gets into the catalogue.

A fault is a small subclass of `Decoder` under the decorator `fault`, or of `Server` under
`serving_fault`; what it does wrong is the first line of its docstring. The faults themselves are in
the modules beside this one.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Literal, TypeVar

from msgspec import Struct

from equivcheck.decoding.decoder import Decoder
from equivcheck.serving.server import Server

Breaks = Literal["losslessness", "speed", "interface", "measurement", "nothing"]
"""What a fault breaks. Nothing: a control, a sound decoder that no check may accuse."""

FAMILIES = {
    "F1": "accept rule",
    "F2": "replacement of a rejected draft",
    "F3": "draft distribution",
    "F4": "target distribution",
    "F5": "random streams",
    "F6": "bonus token",
    "F7": "row alignment",
    "F8": "cache rollback",
    "F9": "recurrent state",
    "F10": "positions and masks",
    "F11": "stopping",
    "F12": "penalties",
    "F13": "constraints",
    "F14": "log-probabilities",
    "F15": "mixed batches",
    "F16": "life of a request",
    "F17": "padding and aliasing",
    "F18": "vocabulary maps",
    "F19": "arithmetic",
    "F20": "draft quality",
    "F21": "lossy by design",
    "F22": "counters",
    "F23": "vacuous runs",
    "F24": "streaming granularity",
    "F25": "sessions and shared prefixes",
    "F26": "serving",
}
"""Class of fault to its subject."""

DRAWS = 24_000
AFFORDABLE = 100_000
"""Faults that take more draws than this are run only when they are named."""
SCHEDULES = {
    "greedy": ("plain",),
    "coupled": ("sampled",),
    "stopping": ("endings",),
    "logprobs": ("plain",),
    "counters": ("plain",),
    "acceptance": ("drafts", "law"),
    "engaged": ("plain",),
    "batching": ("sampled",),
    "determinism": ("sampled",),
    "sampled": ("law",),
    "replayed": ("law",),
}
"""Check to the schedules on which a fault that it catches is run, unless the fault names others."""


class Fault(Struct, frozen=True, kw_only=True):
    """One seeded fault, or a control."""

    id: str
    summary: str
    recreates: str
    """The public bug behind it."""
    breaks: Breaks
    caught_by: str
    """The check expected to catch it."""
    decoder: type[Decoder]
    server: type[Server] = Server
    """Who orders the decoder's steps, where the fault or control is served."""
    family: str = ""
    """A key of `FAMILIES`."""
    engine: str = "native:gamma=4"
    """The candidate that shows it, to be followed by the fault itself."""
    schedules: tuple[str, ...] = ()
    """What it is asked; empty: as for its check in `SCHEDULES`."""
    label: Literal["lossy"] | None = None
    """lossy: known and sold as such, which does not make it lossless."""
    draws: int = DRAWS
    """Tokens to draw at most, where the sampling distribution is tested."""

    @property
    def serves(self) -> bool:
        """Whether it is asked as a server is: requests come and are given up while it works."""
        return self.server is not Server

    @property
    def module(self) -> str:
        """Where it is written down."""
        return (self.server if self.serves else self.decoder).__module__

    @property
    def candidate(self) -> str:
        """The engine specification that runs it."""
        return f"{self.engine},fault={self.id}"

    @property
    def asked(self) -> tuple[str, ...]:
        """The schedules that have to show it."""
        return self.schedules or SCHEDULES[self.caught_by]


Kind = TypeVar("Kind", bound=type[Decoder])
Served = TypeVar("Served", bound=type[Server])
Entered = TypeVar("Entered", bound=type[Decoder] | type[Server])
REGISTERED: dict[str, Fault] = {}
"""What the decorator has seen; `catalogue.py` imports the modules that use it."""


def fault(
    fault_id: str,
    *,
    family: str,
    recreates: str,
    caught_by: str,
    breaks: Breaks = "losslessness",
    engine: str = "native:gamma=4",
    schedules: tuple[str, ...] = (),
    label: Literal["lossy"] | None = None,
    draws: int = DRAWS,
) -> Callable[[Kind], Kind]:
    """Put a decoder into the catalogue; its docstring's first line is the summary.

    Raises:
        ValueError: the id is taken, or the family unknown.
    """
    if family not in FAMILIES:
        raise ValueError(f"{fault_id}: no family {family!r}")

    def register(kind: Kind) -> Kind:
        return add(
            kind,
            Fault(
                id=fault_id,
                summary=first_line(kind),
                recreates=recreates,
                breaks=breaks,
                caught_by=caught_by,
                decoder=kind,
                family=family,
                engine=engine,
                schedules=schedules,
                label=label,
                draws=draws,
            ),
        )

    return register


def serving_fault(
    fault_id: str,
    *,
    recreates: str,
    schedules: tuple[str, ...],
    breaks: Breaks = "losslessness",
    decoder: type[Decoder] = Decoder,
) -> Callable[[Served], Served]:
    """Put a server into the catalogue; its docstring's first line is the summary.

    Raises:
        ValueError: the id is taken.
    """

    def register(kind: Served) -> Served:
        return add(
            kind,
            Fault(
                id=fault_id,
                summary=first_line(kind),
                recreates=recreates,
                breaks=breaks,
                caught_by="acceptance" if breaks == "speed" else "schedules",
                decoder=decoder,
                server=kind,
                family="F26",
                schedules=schedules,
            ),
        )

    return register


def control(
    fault_id: str, *, schedules: tuple[str, ...], engine: str = "native:gamma=4"
) -> Callable[[Entered], Entered]:
    """Put a sound decoder or server beside the catalogue: one that no check may accuse.

    Raises:
        ValueError: the id is taken.
    """

    def register(kind: Entered) -> Entered:
        return add(
            kind,
            Fault(
                id=fault_id,
                summary=first_line(kind),
                recreates="",
                breaks="nothing",
                caught_by="",
                decoder=kind if issubclass(kind, Decoder) else Decoder,
                server=kind if issubclass(kind, Server) else Server,
                engine=engine,
                schedules=schedules,
            ),
        )

    return register


def add(kind: Entered, entry: Fault) -> Entered:
    """Register an entry and hand its class on.

    Raises:
        ValueError: the id is taken.
    """
    if entry.id in REGISTERED:
        raise ValueError(f"{entry.id}: there is a fault of that name already")
    REGISTERED[entry.id] = entry
    return kind


def first_line(kind: type[object]) -> str:
    """What a class does wrong, without the full stop."""
    return (inspect.getdoc(kind) or "").partition("\n")[0].removesuffix(".")
