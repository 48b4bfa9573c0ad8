"""``equivcheck merge``: the shards of a run as one run, judged."""

from __future__ import annotations

from pathlib import Path

import click

from equivcheck.cli.output import Output, json_option, note


@click.command("merge")
@click.argument("folders", nargs=-1, required=True, metavar="DIR...")
@click.option("--out", metavar="FOLDER", help="Where the merged run goes. [reports/latest]")
@json_option
def command(*, folders: tuple[str, ...], out: str | None, as_json: bool) -> int:
    """Merge the shards in DIR... (folders of shards, or with shards in them) and judge the whole.

    All shards have to be there, once, finished, and of the same settings, cases, models and
    versions. Their folders stay as they are.
    """
    from equivcheck.cli.printing import print_verdict
    from equivcheck.pipeline.merge import merge
    from equivcheck.records.run_folder import LATEST, lock

    folder = Path(out) if out else LATEST
    with lock(folder):
        evidence, verdict = merge([Path(each) for each in folders], folder)
    parts = evidence.header.merged
    note(f"merged {len(parts)} shards into {folder}")
    return print_verdict(evidence, verdict, output=Output(as_json=as_json), folder=folder)
