"""``equivcheck replay``: repeat one case of a stored run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from equivcheck.cli.output import Output, json_option, note

if TYPE_CHECKING:
    from collections.abc import Iterator

    from equivcheck.pipeline.replay import Replayed


@click.command("replay")
@click.argument("run")
@click.argument("case")
@click.option(
    "--alone", is_flag=True, help="Do not repeat the neighbours before calling a case fixed."
)
@json_option
def command(*, run: str, case: str, alone: bool, as_json: bool) -> int:
    """Run CASE (workload/id) of RUN (folder, records file or run id) again on both arms.

    Says FIXED, FAILED, INCONCLUSIVE, or PASSED where it had passed before; ERROR and exit code 2
    where it cannot be run. The stored settings and token ids are used.
    """
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


def _lines(told: Replayed) -> Iterator[str]:
    from equivcheck.report.blocks import block_lines

    how = "alone" if told.alone else "among its neighbours"
    yield f"{told.status} {told.key}: {told.before} then, {told.after} now ({how})"
    for finding in told.findings:
        yield from block_lines(finding)
    same = "the same as" if told.same_answer else "other than"
    yield f"the candidate's tokens are {same} in the stored run"
    if told.changed:
        yield f"not the same conditions: {told.changed}"
