"""``equivcheck faults``: the proof that the checks catch what they are there to catch."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from equivcheck.cli.output import Output, json_option, note
from equivcheck.core.exit_codes import INTERRUPTED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from equivcheck.fault_matrix.result import Result
    from equivcheck.faults.fault import Fault

FOLDER = "reports/runs/faults"
CONTROLS = "controls"
GROUPS = ("faults", CONTROLS)
"""Patterns that mean all of a kind."""


@click.command("faults")
@click.option(
    "--only",
    multiple=True,
    metavar="NAME",
    help="A fault, a control, a class (F8), a pattern, 'faults' or 'controls'. May be repeated.",
)
@click.option(
    "--quick", is_flag=True, help="Each fault on the schedules made for it only, asked once."
)
@click.option(
    "--seeds",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Runs of each, with other prompts and random streams.",
)
@click.option("--stored", is_flag=True, help="Run nothing: show what the folder holds.")
@click.option("--jobs", type=click.IntRange(min=1), help="Runs at a time. [one a core]")
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

    A fault has to be caught by the check that its entry names, in every run; a control, a sound
    decoder, may not be accused. Results are kept in the folder; only where code or cases changed
    are they made anew.

    Exit codes: 0 all as it should be, 1 something missed or wrongly accused, 3 a control's schedule
    did not bring about what it should.
    """
    from equivcheck.cli.faults_words import document_of, lines_of
    from equivcheck.cli.progress import shown_progress
    from equivcheck.fault_matrix.job import jobs_of
    from equivcheck.fault_matrix.matrix import prove
    from equivcheck.fault_matrix.render import render
    from equivcheck.fault_matrix.tally import sentence, tally
    from equivcheck.records.run_folder import lock

    folder, output = Path(out), Output(as_json=as_json)
    entries = _chosen(only)
    with lock(folder), shown_progress() as progress:
        try:
            results = (
                _stored(entries, folder)
                if stored
                else prove(
                    jobs_of(entries, quick=quick, seeds=seeds),
                    folder,
                    workers=jobs or os.cpu_count() or 1,
                    progress=progress,
                )
            )
        except KeyboardInterrupt:
            note(f"\ninterrupted; what is done is kept in {folder}; run the same again to go on")
            return INTERRUPTED
    counted = tally(results)
    output.say_lines(lines_of(results))
    output.say(sentence(counted))
    missing = _missing(entries, results) if stored else ()
    if missing:
        names = ", ".join(missing[:10]) + (", …" if missing[10:] else "")
        output.say(f"without a result: {len(missing)} of {len(entries)} entries: {names}")
    for name in rendered:
        note(f"{name}: wrote {', '.join(render(Path(name), results))}")
    document = document_of(results, counted, missing=missing)
    output.document(document)
    return document.exit_code


def _missing(entries: Sequence[Fault], results: Sequence[Result]) -> tuple[str, ...]:
    """Entries that nothing is known of."""
    found = {result.id for result in results}
    return tuple(entry.id for entry in entries if entry.id not in found)


def _chosen(only: Sequence[str]) -> list[Fault]:
    """The entries that any of the patterns fits; all that are affordable without patterns.

    Raises:
        SettingsError: a pattern fits none.
    """
    from equivcheck.faults import catalogue
    from equivcheck.faults.fault import AFFORDABLE

    entries = [*catalogue.CATALOGUE, *catalogue.CONTROLS]
    if not only:
        for entry in entries:
            if entry.draws > AFFORDABLE:
                note(f"{entry.id}: takes {entry.draws:,} draws; run it with --only {entry.id}")
    chosen: list[Fault] = []
    for pattern in only or GROUPS:
        fitting = [entry for entry in entries if _fits(entry, pattern)]
        if not fitting:
            catalogue.find(pattern)
        chosen += fitting
    return [entry for entry in entries if entry in chosen and not _not_shown(entry, only)]


def _not_shown(entry: Fault, only: Sequence[str]) -> bool:
    """Whether the bundled heads cannot show an entry, and it was not named."""
    from equivcheck.fault_matrix.rigs import NOT_SHOWN

    if entry.id not in NOT_SHOWN or entry.id in only:
        return False
    note(f"{entry.id}: the bundled heads are too weak for it; run it with --only {entry.id}")
    return True


def _fits(entry: Fault, pattern: str) -> bool:
    """Whether a pattern means an entry, by its name, its class, or all that are affordable."""
    from fnmatch import fnmatchcase

    from equivcheck.faults.fault import AFFORDABLE

    if pattern in GROUPS:
        sound = entry.breaks == "nothing"
        return sound == (pattern == CONTROLS) and entry.draws <= AFFORDABLE
    return fnmatchcase(entry.id, pattern) or entry.family.lower() == pattern.lower()


def _stored(entries: Sequence[Fault], folder: Path) -> list[Result]:
    """What the ledger holds of some entries, whatever code it was made with."""
    from equivcheck.fault_matrix.ledger import read_ledger

    places = {entry.id: place for place, entry in enumerate(entries)}
    held = [result for result in read_ledger(folder).values() if result.id in places]
    return sorted(held, key=lambda result: (places[result.id], result.seed))
