"""``equivcheck engines``: which engines are installed, and what one says when it is opened."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from equivcheck.cli.output import Output, json_option
from equivcheck.cli.setup_options import read_settings, setup_options

if TYPE_CHECKING:
    from equivcheck.core.engine import Capabilities
    from equivcheck.core.engine_tables import EngineTable
    from equivcheck.core.settings import Settings


@click.command("engines")
@click.argument("engine", required=False)
@setup_options
@json_option
def command(*, engine: str | None, overrides: tuple[str, ...], as_json: bool, **flags: Any) -> int:
    """List engines, installed and by table, and try to import each; or open ENGINE and ask it.

    An engine is named as NAME or NAME:option=value,..., a server by its URL, and one of the
    settings by the name of its table. Packages add engines through the entry point group
    equivcheck.engines.
    """
    output = Output(as_json=as_json)
    settings = read_settings(flags, overrides)
    if engine is not None:
        import msgspec

        told = opened(engine, settings)
        output.say_lines(lines_of(told))
        output.document(msgspec.to_builtins(told))
        return 0
    _list(output, settings.engine)
    return 0


def opened(engine: str, settings: Settings) -> Capabilities:
    """What an engine says of itself; it is opened for that, and closed.

    Raises:
        EquivcheckError: it cannot be opened.
    """
    from equivcheck.engines.opening import Opening
    from equivcheck.engines.registry import load_engine

    opening = Opening(tables=settings.engine, clock=settings.clock)
    loaded = load_engine(engine, settings.setup, opening=opening)
    try:
        return loaded.capabilities
    finally:
        loaded.close()


def lines_of(told: Capabilities) -> Iterator[str]:
    """What an engine says of itself, a line a statement."""
    gamma, by = told.num_speculative_tokens, f" by {told.method}" if told.method else ""
    yield f"engine    {told.engine}"
    yield f"versions  {', '.join(f'{name} {each}' for name, each in told.versions.items())}"
    yield f"drafts    {f'up to {gamma} a step{by}, verified by {told.rule}' if gamma else 'none'}"
    yield f"tells     {', '.join(_tells(told)) or 'tokens alone'}"
    yield f"batch     {told.batch_size}"
    if not told.sampled:
        yield "refuses   temperatures above 0"
    if told.refuses:
        yield f"refuses   {', '.join(told.refuses)}"
    for name, (least, most) in told.ranges.items():
        yield f"range     {name} {least:g} to {most:g}"
    for note in told.notes:
        yield f"note      {note}"


def problem_of(place: str) -> str | None:
    """Import what is registered as ``module:function``; what is wrong with it, or None."""
    module, _, function = place.partition(":")
    try:
        found = import_module(module)
    # An adapter's imports may break in any way; that is the answer.
    except (Exception, SystemExit) as error:
        return f"{type(error).__name__}: {error}".splitlines()[0]
    if not hasattr(found, function):
        return f"{module} has no {function!r}"
    return None if callable(getattr(found, function)) else f"{place} is no function"


def _list(output: Output, tables: Mapping[str, EngineTable]) -> None:
    from equivcheck.core.escape import visible
    from equivcheck.engines.registry import known_engines

    listed = {name: _described(name, place=place) for name, place in known_engines().items()}
    listed |= {f"engine.{name}": table_facts(name, tables) for name in tables}
    for name, each in listed.items():
        problem = each["problem"]
        said = ("engine", "start", "python", "does", "needs", "tells")
        output.say_lines(
            [
                f"{visible(name)}: {_word(each) if problem is None else f'cannot load: {problem}'}",
                *(f"  {word}: {visible(str(each[word]))}" for word in said if each.get(word)),
            ]
        )
    if not listed:
        output.say("no engine is installed")
    output.document(listed)


def _word(described: Mapping[str, object]) -> str:
    """A table of the settings opens nothing by being listed."""
    return "loads" if "loads" in described else "a table of the settings"


def table_facts(name: str, tables: Mapping[str, EngineTable]) -> dict[str, str | bool | None]:
    """What a table of the settings says, and what is wrong with it as far as that can be seen."""
    from equivcheck.core.errors import SettingsError, unknown_name
    from equivcheck.engines.naming import read_spec
    from equivcheck.engines.registry import known_engines

    table = tables[name]
    try:
        spec, problem = read_spec(name, tables), None
        # Of another interpreter, engines that are not installed here may be meant.
        if table.python is None and spec.name not in known_engines():
            problem = unknown_name("engine", spec.name, known_engines())
    except SettingsError as error:
        spec, problem = None, str(error)
    return {
        "engine": table.engine if spec is None else str(spec),
        "start": table.start,
        "python": table.python,
        "problem": problem,
    }


def _described(name: str, *, place: str) -> dict[str, str | bool | None]:
    """One entry of the list; what an engine is in words only where its module says so."""
    from equivcheck.engines.about import BUNDLED, About

    problem = problem_of(place)
    found: dict[str, str | bool | None] = {
        "module": place,
        "loads": problem is None,
        "problem": problem,
    }
    module = sys.modules.get(place.partition(":")[0])
    about = getattr(module, "ABOUT", BUNDLED.get(name))
    if isinstance(about, About):
        found |= {"does": about.does, "needs": about.needs, "tells": about.tells}
    return found


def _tells(told: Capabilities) -> Iterator[str]:
    if told.text_alone:
        yield "text and no token ids"
    if told.reports_steps:
        yield "verify steps"
    if told.reports_counts:
        yield "counts of drafts a request"
    if told.reports_scores:
        yield "log-probabilities"
