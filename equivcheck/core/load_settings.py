"""Where `Settings` come from: ``[tool.equivcheck]`` or ``equivcheck.toml``, then overrides.

Unknown keys and wrong values are errors with a suggestion; nothing is ignored. TOML has no null:
write ``"none"`` where a setting may be absent (``control = "none"``).
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from pathlib import Path
from types import NoneType
from typing import Any, get_args

import msgspec
from msgspec import Struct

from equivcheck.core.engine_tables import EngineTable, TimeLimits
from equivcheck.core.errors import SettingsError
from equivcheck.core.settings import EngineSetup, Settings, WorkloadLimits
from equivcheck.core.validation import explain

OWN_FILE = "equivcheck.toml"
PROJECT_FILE = "pyproject.toml"
_SHAPES: dict[str, type[Struct]] = {"": Settings, "setup": EngineSetup, "clock": TimeLimits}
_NAMED: dict[str, type[Struct]] = {"workload": WorkloadLimits, "engine": EngineTable}
"""Tables of tables, by a name of the user's own."""


def load_settings(path: Path | None = None, *, overrides: Iterable[str] = ()) -> Settings:
    """Settings from a TOML file, with ``dotted.name=value`` overrides on top.

    Args:
        path: A ``pyproject.toml`` (its ``[tool.equivcheck]`` table, empty where it has none) or a
            file that is all settings. None: defaults only; see `find_settings_file`.
        overrides: For instance ``setup.dtype=bfloat16``; later ones win.

    Raises:
        SettingsError: names the file or the override, and the setting.
    """
    settings = Settings() if path is None else _read(path)
    for override in overrides:
        settings = _override(settings, override)
    return settings


def find_settings_file(start: Path) -> Path | None:
    """The settings file of the nearest folder, ``start`` or above it, that has one.

    Raises:
        SettingsError: a folder has both kinds: there is one place for settings, not two.
    """
    for folder in (start, *start.parents):
        own, project = folder / OWN_FILE, folder / PROJECT_FILE
        in_project = project.is_file() and _table_of(project) is not None
        if own.is_file() and in_project:
            raise SettingsError(f"{own}: {project} has [tool.equivcheck] too; keep one of them")
        if own.is_file() or in_project:
            return own if own.is_file() else project
    return None


def _read(path: Path) -> Settings:
    table = _table_of(path)
    section = "[tool.equivcheck] " if path.name == PROJECT_FILE else ""
    return _convert(table or {}, where=f"{path}: {section}", strict=True)


def _table_of(path: Path) -> Any:
    """The settings in a TOML file; None for a project file without a table of ours."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingsError(f"{path}: no such file") from None
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}: invalid UTF-8 at byte {error.start}") from error
    except RecursionError as error:
        raise SettingsError(f"{path}: not valid TOML: nested too deeply") from error
    except ValueError as error:  # of the parser, and of Python for a number of thousands of digits
        raise SettingsError(f"{path}: not valid TOML: {error}") from error
    if path.name != PROJECT_FILE:
        return document
    tools = document.get("tool")
    return tools.get("equivcheck") if isinstance(tools, dict) else None


def _override(settings: Settings, override: str) -> Settings:
    name, equals, value = override.partition("=")
    if not equals:
        raise SettingsError(f"override {override!r}: write it as name=value")
    tree: dict[str, Any] = msgspec.to_builtins(settings)
    *tables, last = name.strip().split(".")
    inner = tree
    for table in tables:
        if not isinstance(inner.setdefault(table, {}), dict):
            raise SettingsError(f"override {override!r}: {table}: not a table of settings")
        inner = inner[table]
    if isinstance(inner.get(last), dict):
        raise SettingsError(f"override {override!r}: {last}: a table; name one setting in it")
    inner[last] = value.strip()
    return _convert(tree, where=f"override {override!r}: ", strict=False)


def _convert(table: Any, *, where: str, strict: bool) -> Settings:
    _check_named(table, where=where, strict=strict)
    try:
        return msgspec.convert(_without_none(table, Settings), Settings, strict=strict)
    except msgspec.ValidationError as error:
        raise SettingsError(f"{where}{explain(error, _SHAPES)}") from error


def _check_named(table: Any, *, where: str, strict: bool) -> None:
    """Convert each named table by itself: otherwise nobody says which is wrong."""
    for kind, shape in _NAMED.items():
        tables = table.get(kind) if isinstance(table, dict) else None
        for name, given in tables.items() if isinstance(tables, dict) else ():
            try:
                msgspec.convert(given, shape, strict=strict)
            except msgspec.ValidationError as error:
                what = explain(error, {"": shape})
                raise SettingsError(f"{where}{kind}.{name}: {what}") from error


def _without_none(table: Any, shape: type[Struct]) -> Any:
    """Turn ``"none"`` into None where the setting may be absent."""
    if not isinstance(table, dict):
        return table
    types = {field.name: field.type for field in msgspec.structs.fields(shape)}
    read: dict[str, Any] = {}
    for name, value in table.items():
        if name == "setup":
            read[name] = _without_none(value, EngineSetup)
        elif value == "none" and NoneType in get_args(types.get(name)):
            read[name] = None
        else:
            read[name] = value
    return read
