"""Find engines by name and open them. Knows names, never modules: nothing heavy is imported here.

An engine is an entry point of the group ``equivcheck.engines`` that loads to a function
``open_engine(options: Mapping[str, str], setup: EngineSetup) -> Engine``, so a package adds one by
being installed. Its module is imported when it is opened, not before.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import msgspec
from msgspec import Struct

from equivcheck.core.bounds import unbounded_drafts
from equivcheck.core.engine import Capabilities, Engine
from equivcheck.core.errors import (
    EngineError,
    EquivcheckError,
    SettingsError,
    describe,
    unknown_name,
)
from equivcheck.core.escape import head
from equivcheck.core.extras import how_to_install
from equivcheck.core.settings import EngineSetup
from equivcheck.core.validation import explain, unrecordable
from equivcheck.engines.ends import with_ends
from equivcheck.engines.limits import with_limits, within
from equivcheck.engines.naming import EngineSpec, in_full
from equivcheck.engines.opening import NO_RUN, Opening

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "equivcheck.engines"
EXAMPLES = {"flashspec"}
"""Engines that this package once had. Their adapters are files of ``examples/`` in its source."""

OpenEngine = Callable[[Mapping[str, str], EngineSetup], Engine]
Options = TypeVar("Options", bound=Struct)
_lent: dict[str, OpenEngine] = {}


def decode_options(engine: str, options: Mapping[str, str], shape: type[Options]) -> Options:
    """Give an engine's options their types.

    Args:
        engine: Name, for the message.
        options: As in the specification; ``none`` stands for None where an option may be absent.
        shape: A frozen struct with ``forbid_unknown_fields``.

    Raises:
        SettingsError: an option is unknown, of the wrong type or out of range.
    """
    types = {field.encode_name: field.type for field in msgspec.structs.fields(shape)}
    given: dict[str, str | None] = {
        name: None if value == "none" and type(None) in get_args(types.get(name)) else value
        for name, value in options.items()
    }
    try:
        return msgspec.convert(given, shape, strict=False)
    except msgspec.ValidationError as error:
        raise SettingsError(f"engine {engine}: {explain(error, {'': shape})}") from error


def known_engines() -> dict[str, str]:
    """Name of every installed engine to where it lives, without importing any."""
    return {name: entry.value for name, entry in sorted(_entry_points().items())}


def load_engine(spec: str, setup: EngineSetup, *, opening: Opening = NO_RUN) -> Engine:
    """Open the engine that ``spec`` names. The caller closes it.

    Args:
        spec: ``name:option=value,...`` of an installed engine or of a table of the settings;
            ``isolated:`` before it opens it in a process of its own.
        setup: The pair and how it is run.
        opening: The run's tables of engines, its clock, and where logs go.

    Raises:
        SettingsError: the specification or one of its options is wrong.
        EngineError: there is no such engine, a package it needs is not installed, it broke as it
            was opened, or what was opened does not say what it is.
        PairError: the engine cannot load or run the pair.
    """
    parsed = EngineSpec.parse(spec)
    try:
        full = in_full(parsed, opening.tables)
        table = opening.tables.get(parsed.name)
        clock = opening.clock if table is None else table.clock(opening.clock)
        if table is not None and table.start is not None:
            engine = _served(full, parsed.name, setup, opening)
            problem = _unusable(engine)
        elif full.isolated:
            engine = _isolated(full, parsed.name, setup, opening)
            problem = _unusable(engine)
        else:
            who = f"{opening.arm} ({head(spec, cells=80)})"
            seconds = clock.seconds_to_open()
            with within(seconds, limit="open_seconds", doing=f"{who}: opening it"):
                engine = _open(full, setup, also=opening.tables)
                problem = _unusable(engine)
            engine = with_limits(engine, clock, who=who)
    except EquivcheckError:
        raise
    # An adapter may raise anything, and even leave Python; that must never pass for a verdict.
    except (Exception, SystemExit) as error:
        raise EngineError(f"engine {spec!r} cannot be opened: {describe(error)}") from error
    if problem is not None:
        raise EngineError(f"engine {spec!r} cannot be used: {problem}")
    return with_ends(engine, setup)


def _isolated(full: EngineSpec, name: str, setup: EngineSetup, opening: Opening) -> Engine:
    """Open an engine in a process of its own; ``name`` is that of its table, where it has one."""
    from equivcheck.engines.isolation.engine import IsolatedEngine
    from equivcheck.engines.isolation.process import Launch

    if full.name in _lent:
        raise EngineError(f"engine {full.name!r} is there in this process alone")
    table = opening.tables.get(name)
    return IsolatedEngine(
        str(msgspec.structs.replace(full, isolated=False)),
        setup,
        launch=Launch(python=table.python, env=table.env) if table else Launch(),
        clock=table.clock(opening.clock) if table else opening.clock,
        opening=opening,
    )


def _served(full: EngineSpec, name: str, setup: EngineSetup, opening: Opening) -> Engine:
    """Start the server of the table ``name`` and open the engine that asks it."""
    from equivcheck.engines.http.options import base_url
    from equivcheck.engines.http.server import ServedEngine, lend, release

    table = opening.tables[name]
    server = lend(
        name,
        table,
        base_url(full.options["url"]),
        log=opening.logs and opening.logs / f"{name}.server.log",
        clock=table.clock(opening.clock),
    )
    try:
        return ServedEngine(_open(full, setup, also=opening.tables), server)
    except BaseException:
        release(server)
        raise


def _open(parsed: EngineSpec, setup: EngineSetup, *, also: Collection[str]) -> Engine:
    """Open an engine here; `also` are further names, for a suggestion."""
    if parsed.name in _lent:
        return _lent[parsed.name](parsed.options, setup)
    entries = _entry_points()
    if not entries:
        raise EngineError(
            f"engine {parsed.name!r} cannot be found: no package registers engines here, so "
            f"equivcheck itself is not installed; try: pip install -e ."
        )
    if parsed.name not in entries:
        if parsed.name in EXAMPLES:
            raise EngineError(
                f"engine {parsed.name!r} has left this package: its adapter is the example "
                f"examples/{parsed.name}.py; try, in a checkout: pip install ./examples"
            )
        raise EngineError(unknown_name("engine", parsed.name, {*entries, *also}))
    entry = entries[parsed.name]
    try:
        open_engine: OpenEngine = entry.load()
        if not callable(open_engine):
            raise EngineError(
                f"engine {entry.name!r} is registered as {entry.value}, which is no function"
            )
        return open_engine(parsed.options, setup)
    except ModuleNotFoundError as error:
        raise EngineError(_not_installed(entry, error)) from error
    except AttributeError as error:
        if _names_nothing(entry):
            raise EngineError(
                f"engine {entry.name!r} is registered as {entry.value}, which does not exist"
            ) from error
        raise


@contextmanager
def lent(openers: Mapping[str, OpenEngine]) -> Iterator[None]:
    """Let engines that no package registers be opened by name, in this process and for a while.

    Raises:
        EngineError: a name is taken.
    """
    if taken := openers.keys() & (_lent.keys() | _entry_points().keys()):
        raise EngineError(f"engine {min(taken)!r} is registered already")
    _lent.update(openers)
    try:
        yield
    finally:
        for name in openers:
            del _lent[name]


def _entry_points() -> dict[str, EntryPoint]:
    """By name.

    Raises:
        EngineError: two packages claim the same name for different things.
    """
    from importlib.metadata import entry_points

    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=GROUP):
        other = found.setdefault(entry.name, entry)
        if other.value != entry.value:
            raise EngineError(
                f"engine {entry.name!r} is registered twice: as {other.value} and {entry.value}; "
                f"uninstall one of the packages"
            )
    return found


def _unusable(engine: Engine | None) -> str | None:
    """What keeps something that was opened from being an engine; None: nothing."""
    if engine is None:
        return "its function returned None"
    told: object = engine.capabilities
    if not isinstance(told, Capabilities):
        return f"its capabilities are of the type {type(told).__name__}, not Capabilities"
    if wrong := unrecordable(told):
        return f"no record can hold its capabilities: {wrong}"
    return unbounded_drafts(told.num_speculative_tokens)


def _not_installed(entry: EntryPoint, error: ModuleNotFoundError) -> str:
    missing = (error.name or "").partition(".")[0]
    if missing == entry.module.partition(".")[0]:
        return f"engine {entry.name!r} is registered as {entry.value}, which does not exist"
    return (
        f"engine {entry.name!r} needs {error.name!r}, which is not installed; "
        f"try: {how_to_install(missing)}"
    )


def _names_nothing(entry: EntryPoint) -> bool:
    from importlib import import_module

    module: Any = import_module(entry.module)
    return not hasattr(module, entry.attr)
