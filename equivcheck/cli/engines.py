"""``equivcheck engines``: which engines are installed, and whether they can be loaded here."""

from __future__ import annotations

from importlib import import_module

import click

from equivcheck.cli.output import Output, json_option


@click.command("engines")
@json_option
def command(*, as_json: bool) -> int:
    """List the installed engines and try to import each.

    An engine is named in settings as NAME or NAME:option=value,... Packages add engines through
    the entry point group equivcheck.engines.
    """
    from equivcheck.engines.registry import known_engines
    from equivcheck.report.layout import columns

    output = Output(as_json=as_json)
    tried = {name: problem_of(place) for name, place in known_engines().items()}
    rows = [
        (name, "loads" if problem is None else f"cannot load: {problem}")
        for name, problem in tried.items()
    ]
    output.say("\n".join(columns(rows, last_cells=100)) if rows else "no engine is installed")
    output.document(
        {
            name: {"module": place, "loads": tried[name] is None, "problem": tried[name]}
            for name, place in known_engines().items()
        }
    )
    return 0


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
