"""``equivcheck replay``: repeat one case of a stored run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from equivcheck.cli.output import Output, json_option, note

if TYPE_CHECKING:
    from collections.abc import Iterator

    from equivcheck.pipeline.replay import CaseReplay
    from equivcheck.pipeline.smallest import Smallest


@click.command("replay")
@click.argument("run")
@click.argument("case")
@click.option(
    "--alone", is_flag=True, help="Do not repeat the neighbours before calling a case fixed."
)
@click.option(
    "--minimise",
    metavar="FILE",
    help="Drop neighbours, then tokens of prompts and length of outputs while the case still "
    "fails, and write the smallest suite that does.",
)
@click.option(
    "--tries",
    type=click.IntRange(min=1),
    help="With --minimise: at most so many. [200]",
)
@json_option
def command(
    *, run: str, case: str, alone: bool, minimise: str | None, tries: int | None, as_json: bool
) -> int:
    """Run CASE (workload/id) of RUN (folder, records file or run id) again on both arms.

    Says FIXED, FAILED, INCONCLUSIVE, or PASSED where it had passed before; ERROR and exit code 2
    where it cannot be run. The stored settings and token ids are used. What passes alone is asked
    in the batch that it was asked in, in that order, then behind all that was asked before.
    """
    if minimise is not None:
        return _minimise(run, case, minimise, tries=tries, as_json=as_json)
    if tries is not None:
        raise click.UsageError("--tries goes with --minimise")
    import msgspec

    from equivcheck.cli.progress import shown_progress
    from equivcheck.core.errors import EquivcheckError
    from equivcheck.pipeline.replay import replay
    from equivcheck.records.records_file import read_evidence
    from equivcheck.records.run_folder import find_run
    from equivcheck.records.seal import UNSEALED

    output = Output(as_json=as_json)
    try:
        evidence = read_evidence(find_run(run))
        if evidence.unsealed:
            note(f"{run}: {UNSEALED}")
        with shown_progress() as progress:
            told = replay(evidence, case, alone=alone, progress=progress)
    except EquivcheckError as error:
        raise type(error)(f"ERROR {case}: {error}") from error
    output.say_lines(_lines(told))
    output.document(msgspec.to_builtins(told) | {"exit_code": told.exit_code})
    return told.exit_code


def _minimise(run: str, case: str, file: str, *, tries: int | None, as_json: bool) -> int:
    import msgspec

    from equivcheck.cli.progress import shown_progress
    from equivcheck.core.errors import EquivcheckError
    from equivcheck.pipeline.smallest import MOST_TRIES, smallest
    from equivcheck.records.records_file import read_evidence
    from equivcheck.records.run_folder import find_run

    output = Output(as_json=as_json)
    try:
        evidence = read_evidence(find_run(run))
        with shown_progress() as progress:
            told = smallest(evidence, case, Path(file), most=tries or MOST_TRIES, progress=progress)
    except EquivcheckError as error:
        raise type(error)(f"ERROR {case}: {error}") from error
    output.say_lines(_minimal_lines(told))
    output.document(msgspec.to_builtins(told) | {"exit_code": told.exit_code})
    return told.exit_code


def _minimal_lines(told: Smallest) -> Iterator[str]:
    from equivcheck.report.blocks import block_lines

    before, after = told.before, told.after
    status = "FAILED" if told.fails else "INCONCLUSIVE"
    yield f"{status} {told.key} by {told.check}, made smaller in {told.tries} tries: {told.file}"
    for name in ("neighbours", "prompt", "output"):
        yield f"  {name}: {getattr(before, name)} -> {getattr(after, name)}{_UNITS[name]}"
    if not told.fails:
        yield "it failed with engines that were open, and does not with engines opened anew"
    for finding in told.findings:
        yield from block_lines(finding)
    yield f"repeat: {told.command}"


_UNITS = {"neighbours": "", "prompt": " tokens", "output": " tokens at most"}


def _lines(told: CaseReplay) -> Iterator[str]:
    from equivcheck.report.blocks import block_lines

    how = "alone" if told.alone else "among its neighbours"
    yield f"{told.status} {told.key}: {told.before} then, {told.after} now ({how})"
    for finding in told.findings:
        yield from block_lines(finding)
    same = "the same as" if told.same_answer else "other than"
    yield f"the candidate's answer is {same} in the stored run"
    if told.changed:
        yield f"not the same conditions: {told.changed}"
