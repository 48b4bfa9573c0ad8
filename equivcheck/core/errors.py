"""The errors a user can meet, by what has to be mended. A failed gate is no error, but a verdict.

Every message starts with what is wrong and where (file, line, field); a wrong name comes with a
suggestion.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

LONGEST_MESSAGE = 500
"""Characters kept of an error's line."""


class EquivcheckError(Exception):
    """Base of every error raised on purpose: the command line turns it into exit code 2."""


class SuiteError(EquivcheckError):
    """A suite file cannot be used as it is."""


class SettingsError(EquivcheckError):
    """A setting, flag or engine option is unknown or out of range."""


class PairError(EquivcheckError):
    """A target and draft cannot be loaded, or do not fit each other."""


class EngineError(EquivcheckError):
    """An engine is unknown, not installed, or broke while generating."""


class EngineGoneError(EngineError):
    """An engine can answer nothing more. The run ends, and resuming it asks what is missing."""


class RecordsError(EquivcheckError):
    """A records file is missing, unreadable, or belongs to another run."""


class OtherRunError(RecordsError):
    """Records cannot be resumed: they belong to another run."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `` (did you mean 'x'?)``, or nothing when no known name is near ``name``."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> str:
    """Say that ``name`` is no ``kind``, suggest the nearest, and list what there is."""
    names = sorted(known)
    listed = ", ".join(names) or "none"
    return f"no {kind} named {name!r}{did_you_mean(name, names)}; known: {listed}"


def describe(error: BaseException) -> str:
    """An error in one line; its kind too, unless it is one of ours."""
    line = next((line for line in str(error).splitlines() if line.strip()), "")
    if not isinstance(error, EquivcheckError):
        line = f"{type(error).__name__}: {line}" if line else repr(error)
    return line[:LONGEST_MESSAGE]
