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

    Shards of a measurement are merged into one and summed up. [--out reports/bench]

    All shards have to be there, once, finished, and of the same settings, cases, models and
    versions. Their folders stay as they are.
    """
    from equivcheck.cli.bench import OUT, say_bench
    from equivcheck.cli.printing import print_verdict
    from equivcheck.metrics.records_file import bench_path
    from equivcheck.pipeline.merge import merge
    from equivcheck.pipeline.merge_bench import merge_bench, shards_of_bench
    from equivcheck.records.run_folder import LATEST, lock

    if measured := shards_of_bench([Path(each) for each in folders]):
        path = bench_path(out or OUT)
        with lock(path.parent):
            bench = merge_bench(measured, path)
        note(f"merged {len(measured)} shards into {path}")
        return say_bench(bench, path, limits={}, as_json=as_json)
    folder = Path(out) if out else LATEST
    with lock(folder):
        evidence, verdict = merge([Path(each) for each in folders], folder)
    parts = evidence.header.merged
    note(f"merged {len(parts)} shards into {folder}")
    return print_verdict(evidence, verdict, output=Output(as_json=as_json), folder=folder)
