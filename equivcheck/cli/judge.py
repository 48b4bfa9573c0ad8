"""``equivcheck judge``: decide a recorded run again, without a model."""

from __future__ import annotations

import click

from equivcheck.cli.output import Output, json_option, note


@click.command("judge")
@click.argument("run")
@json_option
def command(*, run: str, as_json: bool) -> int:
    """Judge the records of RUN (folder, records file or run id) again, without a model.

    The same records give the same bytes, on any machine. A run that is unfinished is judged but
    given no verdict line, so that it can still be resumed.
    """
    from equivcheck.cli.printing import print_verdict
    from equivcheck.pipeline.rejudge import rejudge
    from equivcheck.records.run_folder import find_run

    path = find_run(run)
    evidence, verdict = rejudge(path)
    if evidence.sealed is None:
        note(f"{path}: unfinished; judged as far as it got, no verdict is stored")
    return print_verdict(evidence, verdict, output=Output(as_json=as_json), folder=path.parent)
