"""``equivcheck suite``: suites out of other tools' files, checked, shown, and their schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from equivcheck.cli.output import Output, json_option

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from equivcheck.conversion.convert import Conversion
    from equivcheck.conversion.losses import Loss
    from equivcheck.core.cases import Case

_PROMPT_CELLS = 60


@click.group("suite")
def command() -> None:
    """Make suites of other tools' files, check and show them.

    Each verb of this one takes --json.
    """


@command.command("from")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The suite; with --by-category a folder. [suites/NAME.jsonl]",
)
@click.option("--format", "format_name", metavar="NAME", help="Of FILE, where it is not found.")
@click.option("--column", metavar="KEY", help="Where the prompt is, in a file of no known format.")
@click.option("--workload", metavar="NAME", help="What the suite is called. [FILE's name]")
@click.option("--by-category", is_flag=True, help="A suite for each category that FILE has.")
@click.option("--first", type=click.IntRange(min=1), metavar="N", help="Only so many records.")
@click.option(
    "--tokens",
    "most_tokens",
    type=click.IntRange(min=1, max=32_768),
    metavar="N",
    help="Most new tokens of a case, and how many where FILE says nothing.",
)
@click.option(
    "--temperature", type=click.FloatRange(min=0), metavar="T", help="Where FILE says none. [0]"
)
@click.option("--split", metavar="NAME", help="Of a data set of Hugging Face.")
@click.option("--config", metavar="NAME", help="Of a data set of Hugging Face.")
@click.option("--force", is_flag=True, help="Replace what is there.")
@json_option
def from_file(
    *, file: Path, out: Path | None, force: bool, format_name: str | None, as_json: bool, **how: Any
) -> int:
    """Make a suite of FILE: requests, chat logs, benchmarks' questions, logs, or plain lines.

    hf:NAME, a folder of save_to_disk and a Parquet file are read by Hugging Face's datasets. What
    cannot be carried over is listed with its reason and counted.
    """
    from equivcheck.conversion.convert import Wanted, convert
    from equivcheck.core.atomic_write import replace, writing
    from equivcheck.core.errors import SuiteError
    from equivcheck.core.load_suites import load_suite

    made = convert(file, Wanted(format=format_name, **how))
    folder = out if out and how["by_category"] else Path("suites")
    places = {suite.workload: folder / f"{suite.workload}.jsonl" for suite in made.suites}
    if out and not how["by_category"]:
        places = {made.suites[0].workload: out}
    for place in places.values():
        if place.exists() and not force:
            raise SuiteError(f"{place}: already exists; replace it with --force, or name --out")
    for suite in made.suites:
        place = places[suite.workload]
        with writing(place.parent):
            place.parent.mkdir(parents=True, exist_ok=True)
        replace(place, suite.text)
        load_suite(place)
    output = Output(as_json=as_json)
    output.say_lines(told(made, file, places))
    output.document({"made": made_document(made, places)})
    return 0


def made_document(made: Conversion, places: dict[str, Path]) -> dict[str, Any]:
    """What came of a file, for machines: no texts, and where each suite is."""
    import msgspec

    document: dict[str, Any] = msgspec.to_builtins(made)
    for suite in document["suites"]:
        del suite["text"]
        suite["path"] = str(places[suite["workload"]])
    return document


def told(made: Conversion, file: Path, places: dict[str, Path]) -> Iterator[str]:
    """What came of a file, for people; the last line is the next command."""
    cases = sum(suite.cases for suite in made.suites)
    yield f"{_many(cases, 'case')} from {_many(made.records, 'record')} of {file} ({made.what})"
    for suite in made.suites:
        yield f"  {places[suite.workload]}: {_many(suite.cases, 'case')}"
    yield from _losses("carried over otherwise", made.changed)
    yield from _losses("not carried over", made.not_carried)
    yield from _losses("records left out", made.left_out)
    yield f"next: equivcheck run {' '.join(str(place) for place in places.values())}"


def _many(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _losses(title: str, losses: Sequence[Loss]) -> Iterator[str]:
    if not losses:
        return
    yield f"{title}:"
    for loss in losses:
        more = ", ..." if loss.records > len(loss.places) else ""
        where = f" ({', '.join(loss.places)}{more})" if loss.places else ""
        what = "" if loss.what == "record" else f"{loss.what}: "
        yield f"  {loss.records:>6,}  {what}{loss.why}{where}"


@command.command("check")
@click.argument("suites", nargs=-1, required=True, metavar="SUITES...")
@json_option
def check(*, suites: tuple[str, ...], as_json: bool) -> int:
    """Read SUITES (files or folders) and say what is wrong, with file, line and field."""
    from equivcheck.core.load_suites import load_suites

    found = load_suites(suites)
    output = Output(as_json=as_json)
    output.say_lines(
        f"{suite.path}: {_many(len(suite.cases), 'case')}, all readable" for suite in found
    )
    output.document({"suites": {suite.path: len(suite.cases) for suite in found}})
    return 0


@command.command("show")
@click.argument("suites", nargs=-1, required=True, metavar="SUITES...")
@json_option
def show(*, suites: tuple[str, ...], as_json: bool) -> int:
    """List the cases of SUITES, a line each: key, length limit, how it is drawn, its prompt."""
    from equivcheck.core.load_suites import load_suites

    found = load_suites(suites)
    output = Output(as_json=as_json)
    output.say_lines(
        f"{suite.key(case)}  {_how(case)}  {_prompt(case)}"
        for suite in found
        for case in suite.cases
    )
    output.document({"cases": {suite.key(case): case for suite in found for case in suite.cases}})
    return 0


def _how(case: Case) -> str:
    drawn = "greedy" if case.sampling.greedy else f"temperature {case.sampling.temperature:g}"
    graded = f", graded: {case.grader.__struct_config__.tag}" if case.grader else ""
    return f"{case.max_new_tokens} tokens, {drawn}{graded}"


def _prompt(case: Case) -> str:
    from equivcheck.core.escape import head

    if case.token_ids is not None:
        return f"{len(case.token_ids)} token ids"
    if case.messages is not None:
        last = case.messages[-1]
        shown = head(last.content or "", cells=_PROMPT_CELLS)
        return f"{len(case.messages)} messages, {last.role}: {shown}"
    return head(case.prompt or "", cells=_PROMPT_CELLS)


@command.command("schema")
@click.option(
    "--of",
    "name",
    type=click.Choice(["suite", "settings", "records", "measurement"]),
    default="suite",
    show_default=True,
    help="A line of a suite, of records or of a measurement; or equivcheck.toml.",
)
@json_option
def schema(*, name: str, as_json: bool) -> int:
    """Print a JSON Schema, for editors and for other tools; it is made from the types that read."""
    from equivcheck.cli.schemas import SCHEMAS

    document = SCHEMAS[name]()
    output = Output(as_json=as_json)
    output.say(json.dumps(document, indent=2, sort_keys=True))
    output.document(document)
    return 0
