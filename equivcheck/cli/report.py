"""``equivcheck report``: render a stored run again."""

from __future__ import annotations

from pathlib import Path

import click

from equivcheck.cli.output import Output, json_option, note


@click.command("report")
@click.argument("run")
@json_option
def command(*, run: str, as_json: bool) -> int:
    """Print RUN (folder, records file or run id) and write its report files anew.

    RUN may be the folder of a measurement as well, which gets a page of its own.
    """
    if (measured := Path(run) / "bench.jsonl").is_file():
        return _report_bench(measured, output=Output(as_json=as_json))
    from equivcheck.checks.verdict import judge
    from equivcheck.cli.printing import print_verdict
    from equivcheck.records.records_file import read_evidence
    from equivcheck.records.run_folder import find_run, shown
    from equivcheck.report.view import view_of
    from equivcheck.report.write import write_reports

    path = find_run(run)
    evidence = read_evidence(path, compact=True)
    verdict = judge(evidence, finished=evidence.sealed is not None)
    written = write_reports(path.parent, view_of(evidence, verdict))
    code = print_verdict(evidence, verdict, output=Output(as_json=as_json), folder=path.parent)
    note(f"written: {', '.join(shown(file) for file in written)}")
    return code


def _report_bench(path: Path, *, output: Output) -> int:
    from equivcheck.cli.bench_words import lines_of, verdict
    from equivcheck.core.atomic_write import replace
    from equivcheck.metrics.records_file import read_bench
    from equivcheck.metrics.summarise import summarise
    from equivcheck.records.run_folder import shown
    from equivcheck.report.bench_page import render

    summary = summarise(read_bench(path))
    page = path.with_suffix(".html")
    replace(page, render(summary, headline=verdict(summary)))
    output.say_lines(lines_of(summary))
    output.document(summary)
    note(f"written: {shown(page)}")
    return 0 if summary.finished and all(each.holds for each in summary.main.values()) else 1
