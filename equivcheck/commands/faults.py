"""``equivcheck faults``: the proof that the checks catch what they are there to catch."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from equivcheck.commands.output import Output, json_option, note

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from equivcheck.faults.fault import Fault
    from equivcheck.proving.result import Result

FOLDER = "reports/runs/faults"
INTERRUPTED = 130


@click.command("faults")
@click.option(
    "--only",
    multiple=True,
    metavar="NAME",
    help="A fault, a control, a class (F8), or a pattern. May be repeated.",
)
@click.option("--quick", is_flag=True, help="Each fault on the schedules made for it only.")
@click.option("--seeds", default=1, show_default=True, help="Runs of each control.")
@click.option("--stored", is_flag=True, help="Run nothing: show what the folder holds.")
@click.option("--jobs", type=click.IntRange(min=1), help="Processes. [one a core]")
@click.option("--out", default=FOLDER, show_default=True, metavar="FOLDER", help="Where runs go.")
@click.option(
    "--render",
    "rendered",
    multiple=True,
    metavar="FILE",
    help="Write the matrix into a Markdown file, between its markers. May be repeated.",
)
@json_option
def command(
    *,
    only: tuple[str, ...],
    quick: bool,
    seeds: int,
    stored: bool,
    jobs: int | None,
    out: str,
    rendered: tuple[str, ...],
    as_json: bool,
) -> int:
    """Run seeded faults and controls against every check.

    A fault has to be caught by the check that its entry names; a control, a sound decoder, may not
    be accused. Results are kept in the folder; only where code or cases changed are they made anew.

    Exit codes: 0 all as it should be, 1 something missed or wrongly accused, 3 a control's schedule
    did not bring about what it should.
    """
    from equivcheck.commands.progress import shown_progress
    from equivcheck.proving.job import jobs_of
    from equivcheck.proving.matrix import prove
    from equivcheck.proving.render import render
    from equivcheck.proving.tally import sentence, tally
    from equivcheck.run_folder import lock

    folder, output = Path(out), Output(as_json=as_json)
    entries = _chosen(only)
    with lock(folder), shown_progress() as progress:
        try:
            results = (
                _stored(entries, folder)
                if stored
                else prove(
                    jobs_of(entries, quick=quick, control_seeds=seeds),
                    folder,
                    workers=jobs or os.cpu_count() or 1,
                    progress=progress,
                )
            )
        except KeyboardInterrupt:
            note(f"\ninterrupted; what is done is kept in {folder}; run the same again to go on")
            return INTERRUPTED
    counted = tally(results)
    output.say("\n".join(_lines(results)))
    output.say(sentence(counted))
    for name in rendered:
        note(f"{name}: wrote {', '.join(render(Path(name), results))}")
    document = {"summary": sentence(counted), "results": results, "exit_code": counted.exit_code}
    output.document(document)
    return counted.exit_code


def _chosen(only: Sequence[str]) -> list[Fault]:
    """The entries whose name or class fits any of the patterns; all without patterns.

    Raises:
        SettingsError: a pattern fits none.
    """
    from fnmatch import fnmatchcase

    from equivcheck.faults.catalogue import CATALOGUE, CONTROLS, find
    from equivcheck.faults.fault import AFFORDABLE

    entries = [*CATALOGUE, *CONTROLS]
    if not only:
        affordable = [entry for entry in entries if entry.draws <= AFFORDABLE]
        for entry in entries:
            if entry not in affordable:
                note(f"{entry.id}: takes {entry.draws:,} draws; run it with --only {entry.id}")
        return affordable
    chosen = {
        pattern: [
            entry
            for entry in entries
            if fnmatchcase(entry.id, pattern) or entry.family.lower() == pattern.lower()
        ]
        for pattern in only
    }
    for pattern, fitting in chosen.items():
        if not fitting:
            find(pattern)
    return [entry for entry in entries if any(entry in fitting for fitting in chosen.values())]


def _stored(entries: Sequence[Fault], folder: Path) -> list[Result]:
    """What the ledger holds of some entries, whatever code it was made with."""
    from equivcheck.proving.ledger import read_ledger

    places = {entry.id: place for place, entry in enumerate(entries)}
    held = [result for result in read_ledger(folder).values() if result.id in places]
    return sorted(held, key=lambda result: (places[result.id], result.seed))


def _lines(results: Sequence[Result]) -> Iterator[str]:
    from equivcheck.escape import clip
    from equivcheck.report.layout import columns

    rows = []
    for result in results:
        control = result.breaks == "nothing"
        state = ("✓ " if result.caught else "✗ ") + _word(result)
        seen = "" if result.tokens is None else f"after {result.tokens:,} tokens"
        rows.append(
            (state, "control" if control else result.family, result.id, result.caught_by, seen)
        )
    yield from columns(rows)
    for result in results:
        if not result.caught:
            missing = f"; did not occur: {', '.join(result.missing)}" if result.missing else ""
            yield ""
            yield clip(f"{result.id}: {result.said}: {result.headline}{missing}", cells=400)


def _word(result: Result) -> str:
    if result.breaks == "nothing":
        return "ACCUSED" if result.accused else str(result.said)
    return "caught" if result.caught else "MISSED"
