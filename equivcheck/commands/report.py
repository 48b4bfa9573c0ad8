"""``equivcheck report``: render a stored run again."""

from __future__ import annotations

import click

from equivcheck.commands.output import Output, json_option, note


@click.command("report")
@click.argument("run")
@json_option
def command(*, run: str, as_json: bool) -> int:
    """Print RUN (folder, records file or run id) and write its report files anew."""
    from equivcheck.commands.printing import print_run
    from equivcheck.records_file import read_evidence
    from equivcheck.report.view import view_of
    from equivcheck.report.write import write_reports
    from equivcheck.run_folder import find_run, shown
    from equivcheck.verdict import judge

    path = find_run(run)
    evidence = read_evidence(path)
    written = write_reports(
        path.parent, view_of(evidence, judge(evidence, finished=evidence.sealed is not None))
    )
    code = print_run(path.parent, output=Output(as_json=as_json))
    note(f"written: {', '.join(shown(file) for file in written)}")
    return code
