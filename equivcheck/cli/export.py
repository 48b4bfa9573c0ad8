"""``equivcheck export``: a stored run for other tools: dashboards, CI, planners, trackers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from equivcheck.cli.output import Output, json_option, note

if TYPE_CHECKING:
    from equivcheck.report.export.aiperf import Exported

STDOUT = "-"


@click.command("export")
@click.argument("run")
@click.option(
    "--prometheus",
    metavar="[FILE]",
    is_flag=False,
    flag_value=STDOUT,
    help="Metrics as text, for a textfile collector. Without FILE: to stdout.",
)
@click.option("--grafana", metavar="FILE", help="A dashboard over these metrics, to be imported.")
@click.option(
    "--speculation-profile",
    metavar="FILE",
    help="Acceptance by draft position, as speculation_profile.json (schema 1.0).",
)
@click.option("--junit", metavar="FILE", help="The findings as JUnit XML, for CI systems.")
@click.option("--inspect", metavar="FILE", help="A log of inspect (JSON): a sample a case.")
@click.option(
    "--aiperf", metavar="FILE", help="Acceptance by request, as AIPerf's profile_export.jsonl."
)
@click.option(
    "--mlflow",
    metavar="STORE",
    help="Log parameters, metrics and reports in this folder or at this tracking address.",
)
@json_option
def command(
    *,
    run: str,
    prometheus: str | None,
    grafana: str | None,
    speculation_profile: str | None,
    junit: str | None,
    inspect: str | None,
    aiperf: str | None,
    mlflow: str | None,
    as_json: bool,
) -> int:
    """Export RUN (folder, records file or run id) to other tools. FILE may be - for stdout.

    Files are replaced as a whole, so that a collector never reads half of one. The exit code says
    whether the export was made, not what the verdict is.
    """
    import msgspec

    from equivcheck.checks.verdict import judge
    from equivcheck.core.atomic_write import replace
    from equivcheck.records.records_file import read_evidence
    from equivcheck.records.run_folder import find_run, shown
    from equivcheck.records.seal import UNSEALED
    from equivcheck.report.export.aiperf import aiperf_of
    from equivcheck.report.export.grafana import dashboard
    from equivcheck.report.export.inspect_log import inspect_log_of
    from equivcheck.report.export.junit import junit_of
    from equivcheck.report.export.profile import profile_of
    from equivcheck.report.export.prometheus import metrics_of

    wanted = {
        "prometheus": prometheus,
        "grafana": grafana,
        "speculation-profile": speculation_profile,
        "junit": junit,
        "inspect": inspect,
        "aiperf": aiperf,
    }
    if not any((*wanted.values(), mlflow)):
        names = ", ".join(f"--{name}" for name in (*wanted, "mlflow"))
        raise click.UsageError(f"nothing to export: give at least one of {names}")
    path = find_run(run)
    evidence = read_evidence(path, compact=True)
    verdict = judge(evidence, finished=evidence.sealed is not None)

    def pretty(data: object) -> str:
        return msgspec.json.format(msgspec.json.encode(data), indent=2).decode() + "\n"

    make = {
        "prometheus": lambda: metrics_of(evidence, verdict),
        "grafana": lambda: pretty(dashboard()),
        "speculation-profile": lambda: pretty(profile_of(evidence)),
        "junit": lambda: junit_of(verdict, run=evidence.header.run),
        "inspect": lambda: pretty(inspect_log_of(evidence, verdict)),
        "aiperf": lambda: _acceptance(aiperf_of(evidence)),
    }
    if evidence.unsealed:
        note(f"{run}: {UNSEALED}")
    output = Output(as_json=as_json)
    written: dict[str, str] = {}
    for name, file in wanted.items():
        if not file:
            continue
        text = make[name]()
        if file == STDOUT:
            output.say(text.removesuffix("\n"))
            written[name] = text
        else:
            replace(Path(file), text)
            note(f"written: {shown(Path(file))}")
            written[name] = file
    if mlflow:
        from equivcheck.report.export.mlflow_run import log_run

        written["mlflow"] = log_run(evidence, verdict, store=mlflow, folder=path.parent)
        note(f"logged in {mlflow} as run {written['mlflow']}")
    output.document(written)
    return 0


def _acceptance(made: Exported) -> str:
    if made.without:
        note(f"{made.without} answers without drafts, or of an engine that tells no steps")
    return made.text
