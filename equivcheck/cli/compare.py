"""``equivcheck compare``: hold a run or a measurement against a baseline or an earlier run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from equivcheck.cli.output import Output, json_option, note
from equivcheck.core.exit_codes import EXIT_CODES
from equivcheck.core.findings import Outcome

if TYPE_CHECKING:
    from equivcheck.compare.comparison import Comparison


@click.command("compare")
@click.argument("base")
@click.argument("new")
@click.option("--bench", metavar="FOLDER", help="Add this measurement's figures to NEW.")
@click.option("--base-bench", metavar="FOLDER", help="Add this measurement's figures to BASE.")
@click.option(
    "--effect",
    type=click.FloatRange(0, 1),
    help="Least change of an acceptance rate that counts. [0.01]",
)
@click.option(
    "--margin",
    type=click.FloatRange(0, 1),
    help="Drop of acceptance that has to be excluded. A workload's max_acceptance_drop goes "
    "before it. [0.05]",
)
@click.option("--markdown", metavar="FILE", help="Write the comparison as Markdown; -: to stdout.")
@json_option
def command(
    *,
    base: str,
    new: str,
    bench: str | None,
    base_bench: str | None,
    effect: float | None,
    margin: float | None,
    markdown: str | None,
    as_json: bool,
) -> int:
    """Compare NEW with BASE, prompt by prompt.

    Each is a saved baseline, its file, a run (folder, records file or id) or a measurement of
    equivcheck bench. Exits 0 the same or better, 1 regressed or not equivalent, 3 inconclusive,
    not comparable or without a usable base.
    """
    from equivcheck.baselines.cells import Terms
    from equivcheck.baselines.store import BaselineError
    from equivcheck.compare.compare import compare
    from equivcheck.compare.named import taken
    from equivcheck.compare.render import markdown_of, next_command
    from equivcheck.core.atomic_write import replace
    from equivcheck.core.load_settings import find_settings_file, load_settings

    output = Output(as_json=as_json)
    newer = taken(new, bench=bench)
    try:
        older = taken(base, bench=base_bench)
    except BaselineError as error:
        output.say(f"NO BASELINE — {error}\n{error.fix}")
        output.document(
            {"word": "NO BASELINE", "problem": str(error), "state": error.state, "fix": error.fix}
            | {"outcome": "inconclusive", "exit_code": EXIT_CODES[Outcome.INCONCLUSIVE]}
        )
        return EXIT_CODES[Outcome.INCONCLUSIVE]
    limits = load_settings(find_settings_file(Path.cwd())).workload
    given = {"effect": effect, "margin": margin}
    terms = Terms(**{name: value for name, value in given.items() if value is not None})
    found = compare(base=older, new=newer, terms=terms, limits=limits)
    if markdown is None:
        return say(found, base=base, new=new, output=output)
    text = markdown_of(found, command=next_command(found, base=base, new=new))
    if markdown == "-":
        return say(found, base=base, new=new, output=output, text=text)
    replace(Path(markdown), text)
    code = say(found, base=base, new=new, output=output)
    note(f"written: {markdown}")
    return code


def say(found: Comparison, *, base: str, new: str, output: Output, text: str | None = None) -> int:
    """Print a comparison, in `text` where that is given, and return its exit code.

    Args:
        found: The comparison.
        base: What was compared with, as the user named it.
        new: What was compared, likewise.
        output: Where it goes.
        text: Markdown; None: lines for a terminal.
    """
    import msgspec

    from equivcheck.compare.render import lines_of, next_command

    then = next_command(found, base=base, new=new)
    if text is None:
        output.say_lines(lines_of(found, command=then))
    else:
        output.say(text.rstrip("\n"))
    code = EXIT_CODES[found.outcome]
    output.document(msgspec.to_builtins(found) | {"command": then, "exit_code": code})
    return code
