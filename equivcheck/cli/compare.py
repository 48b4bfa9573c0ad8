"""``equivcheck compare``: hold a run or a measurement against a baseline or an earlier run."""

from __future__ import annotations

from pathlib import Path

import click

from equivcheck.cli.output import Output, json_option, note

NO_BASELINE = 3


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
    import msgspec

    from equivcheck.baselines.cells import Terms
    from equivcheck.baselines.store import BaselineError
    from equivcheck.checks.verdict import EXIT_CODES
    from equivcheck.compare.compare import compare
    from equivcheck.compare.named import taken
    from equivcheck.compare.render import lines_of, markdown_of, next_command
    from equivcheck.core.atomic_write import writing
    from equivcheck.core.load_settings import find_settings_file, load_settings

    output = Output(as_json=as_json)
    newer = taken(new, bench=bench)
    try:
        older = taken(base, bench=base_bench)
    except BaselineError as error:
        output.say(f"NO BASELINE — {error}\n{error.fix}")
        output.document(
            {"word": "NO BASELINE", "problem": str(error), "state": error.state, "fix": error.fix}
            | {"outcome": "inconclusive", "exit_code": NO_BASELINE}
        )
        return NO_BASELINE
    limits = load_settings(find_settings_file(Path.cwd())).workload
    given = {"effect": effect, "margin": margin}
    terms = Terms(**{name: value for name, value in given.items() if value is not None})
    found = compare(older, newer, terms=terms, limits=limits)
    then = next_command(found, base=base, new=new)
    if markdown == "-":
        output.say(markdown_of(found, command=then).rstrip("\n"))
    else:
        output.say_lines(lines_of(found, command=then))
    if markdown not in (None, "-"):
        with writing(Path(markdown)):
            Path(markdown).write_text(markdown_of(found, command=then), encoding="utf-8")
        note(f"written: {markdown}")
    code = EXIT_CODES[found.outcome]
    output.document(msgspec.to_builtins(found) | {"command": then, "exit_code": code})
    return code
