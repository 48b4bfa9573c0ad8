"""``equivcheck export``: a stored run for Prometheus, Grafana, CI or a planner."""

from __future__ import annotations

from pathlib import Path

import click

from equivcheck.cli.output import Output, json_option, note

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
@json_option
def command(
    *,
    run: str,
    prometheus: str | None,
    grafana: str | None,
    speculation_profile: str | None,
    junit: str | None,
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
    from equivcheck.report.export.grafana import dashboard
    from equivcheck.report.export.junit import junit_of
    from equivcheck.report.export.profile import profile_of
    from equivcheck.report.export.prometheus import metrics_of

    wanted = {
        "prometheus": prometheus,
        "grafana": grafana,
        "speculation-profile": speculation_profile,
        "junit": junit,
    }
    if not any(wanted.values()):
        names = ", ".join(f"--{name}" for name in wanted)
        raise click.UsageError(f"nothing to export: give at least one of {names}")
    evidence = read_evidence(find_run(run), compact=True)
    verdict = judge(evidence, finished=evidence.sealed is not None)

    def pretty(data: object) -> str:
        return msgspec.json.format(msgspec.json.encode(data), indent=2).decode() + "\n"

    make = {
        "prometheus": lambda: metrics_of(evidence, verdict),
        "grafana": lambda: pretty(dashboard()),
        "speculation-profile": lambda: pretty(profile_of(evidence)),
        "junit": lambda: junit_of(verdict, run=evidence.header.run),
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
    output.document(written)
    return 0
