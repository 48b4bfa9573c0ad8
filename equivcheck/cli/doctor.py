"""``equivcheck doctor``: what holds on this machine."""

from __future__ import annotations

from typing import Any

import click

from equivcheck.cli.output import Output, json_option
from equivcheck.cli.setup_options import read_settings, setup_options


@click.command("doctor")
@setup_options
@json_option
def command(*, overrides: tuple[str, ...], as_json: bool, **flags: Any) -> int:
    """Say which identity contract holds on this device, dtype and thread count, and its price.

    Exits 0 whether or not one holds: a machine without a contract can still be used, with near
    ties held to a budget.
    """
    import msgspec

    from equivcheck.pipeline.doctor import examine, lines_of

    output = Output(as_json=as_json)
    found = examine(read_settings(flags, overrides))
    output.say_lines(lines_of(found))
    output.document(msgspec.to_builtins(found) | {"identity_tax": found.identity_tax})
    return 0
