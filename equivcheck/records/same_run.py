"""Decide whether a records file may be resumed: it has to be the same run in all that matters.

Pure: compares two headers. Run id, creation time, the engines' remarks, limits on their time, the
seed of the draws, which may be a fresh one, and whose choice the threads were can differ.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from equivcheck.core.errors import OtherRunError
from equivcheck.core.settings import Settings
from equivcheck.records.records import Header

_FREE = frozenset({"run", "created", "draw_seed", "threads_timed"})
_FREE_TAILS = ("notes", "open_seconds", "answer_seconds", "token_seconds", "close_seconds")
"""Engines' remarks may hold measured figures; a run that was too slow may go on with more time."""


class HeaderDifference(NamedTuple):
    """One field that two headers disagree on."""

    field: str
    """Dotted: ``settings.setup.dtype``, ``suites[0].digest``."""
    found: Any
    wanted: Any


def first_difference(*, found: Struct, wanted: Struct) -> HeaderDifference | None:
    """The first field, in the header's order, in which two runs differ; None if in none."""
    return next(_differences(msgspec.to_builtins(found), msgspec.to_builtins(wanted), ""), None)


def refuse_other_run(path: Path, *, found: Struct, wanted: Struct) -> None:
    """Refuse to append one run's records to another's.

    Raises:
        OtherRunError: names the first field that differs.
    """
    if difference := first_difference(found=found, wanted=wanted):
        raise OtherRunError(
            f"{path}: belongs to another run: {difference.field} is {_shown(difference.found)} "
            f"there and {_shown(difference.wanted)} here"
        )


def with_stored_threads(settings: Settings, stored: Header) -> Settings:
    """Settings as asked for, with the number of threads that a stored run chose by timing.

    A number that is asked for stays: if it is another one, so is the run.
    """
    if settings.setup.threads is not None or not stored.threads_timed:
        return settings
    setup = replace(settings.setup, threads=stored.settings.setup.threads)
    return replace(settings, setup=setup)


def _differences(found: Any, wanted: Any, path: str) -> Iterator[HeaderDifference]:
    if path in _FREE or path.rpartition(".")[2] in _FREE_TAILS:
        return
    if isinstance(found, Mapping) and isinstance(wanted, Mapping):
        for key in [*found, *(key for key in wanted if key not in found)]:
            inner = f"{path}.{key}" if path else str(key)
            yield from _differences(found.get(key), wanted.get(key), inner)
    elif isinstance(found, list | tuple) and isinstance(wanted, list | tuple):
        if len(found) != len(wanted):
            yield HeaderDifference(f"len({path})", len(found), len(wanted))
        for index, (one, other) in enumerate(zip(found, wanted, strict=False)):
            yield from _differences(one, other, f"{path}[{index}]")
    elif found != wanted:
        yield HeaderDifference(path, found, wanted)


def _shown(value: Any) -> str:
    return ascii(value) if len(ascii(value)) <= 60 else ascii(value)[:57] + "..."
