"""What it takes to open engines for a run: its tables of engines, its clock, and where logs go."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from equivcheck.core.engine_tables import EngineTable, TimeLimits


class Opening(Struct, frozen=True, kw_only=True):
    """Beside a specification and a setup, what a run knows of how its engines are opened."""

    arm: str = "engine"
    """Who the engine is opened for; names its log, and the engine in messages."""
    tables: dict[str, EngineTable] = {}
    """The settings' engines, by name."""
    clock: TimeLimits = TimeLimits()
    """Limits where a table names none of its own."""
    logs: Path | None = None
    """Folder for what processes of engines print. None: kept nowhere."""
    resumed: bool = False
    """Whether logs that are there belong to the same run."""


LOGS = "logs"
"""Folder, in a run's, for what processes of engines print."""
NO_RUN = Opening()
"""Run of an engine that is opened for no run."""
