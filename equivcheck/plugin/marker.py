"""What the worker that captured leaves in the run's folder for the others of its session."""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

MARKER_NAME = "session.json"


class Marker(Struct, frozen=True, kw_only=True):
    """Left in the run's folder by the worker that captured, for the others."""

    session: str
    failure: str | None = None
    """First line of what went wrong; None: the run is complete."""
    note: str = ""
    """What a reader of the report should know about how the run came about."""


def read_marker(folder: Path, *, session: str) -> Marker | None:
    """What the capturing worker of this session left, if it got so far."""
    path = folder / MARKER_NAME
    if not path.is_file():
        return None
    marker = msgspec.json.decode(path.read_bytes(), type=Marker)
    return marker if marker.session == session else None
