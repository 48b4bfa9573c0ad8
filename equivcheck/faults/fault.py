"""What a seeded fault is. The faults themselves are in the modules beside this one."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from equivcheck.decoding.decoder import Decoder

Breaks = Literal["losslessness", "speed", "interface", "measurement"]


class Fault(Struct, frozen=True, kw_only=True):
    """One seeded fault."""

    id: str
    summary: str
    recreates: str
    """The public bug behind it."""
    breaks: Breaks
    caught_by: str
    """The check expected to catch it."""
    decoder: type[Decoder]
