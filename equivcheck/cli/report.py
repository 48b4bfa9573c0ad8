"""``equivcheck report``: render a stored run again."""

from __future__ import annotations

import os
from pathlib import Path

import click

from equivcheck.cli.output import Output, json_option, note

REPORT = "report.html"


@click.command("report")
@click.argument("run")
@click.argument("other", required=False)
@json_option
def command(*, run: str, other: str | None, as_json: bool) -> int:
    """Print RUN (folder, records file or run id) and write its report files anew.

    RUN may be the folder of a measurement as well, which gets a page of its own. With OTHER, a
    later run, both are compared as by equivcheck compare, and a page in OTHER's folder shows them
    side by side.
    """
    if other is not None:
        return _report_both(run, other, output=Output(as_json=as_json))
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


def _report_both(base: str, new: str, *, output: Output) -> int:
    from equivcheck.baselines.cells import Terms
    from equivcheck.cli.compare import say
    from equivcheck.compare.compare import compare
    from equivcheck.compare.named import taken
    from equivcheck.compare.page import render
    from equivcheck.core.atomic_write import replace
    from equivcheck.core.load_settings import find_settings_file, load_settings
    from equivcheck.records.run_folder import shown

    older, newer = taken(base), taken(new)
    limits = load_settings(find_settings_file(Path.cwd())).workload
    found = compare(base=older, new=newer, terms=Terms(), limits=limits)
    folder = _folder(new)
    page = folder / "compare.html"
    reports = {"new": REPORT} if (folder / REPORT).is_file() else {}
    if (theirs := _folder(base) / REPORT).is_file():
        reports["base"] = Path(os.path.relpath(theirs, folder)).as_posix()
    replace(page, render(found, base=older, new=newer, reports=reports))
    code = say(found, base=base, new=new, output=output)
    note(f"written: {shown(page)}")
    return code


def _folder(name: str) -> Path:
    """Where a run or a measurement is; the folder of baselines for a saved one."""
    from equivcheck.baselines.store import nearest_folder
    from equivcheck.core.errors import RecordsError
    from equivcheck.records.run_folder import find_run

    if Path(name).is_dir():
        return Path(name)
    try:
        return find_run(name).parent
    except RecordsError:
        return nearest_folder()


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
