"""Print a stored run: the report for people, or one document for machines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from equivcheck.checks.verdict import Verdict
    from equivcheck.cli.output import Output
    from equivcheck.records.records import Evidence


def print_run(folder: Path, *, output: Output) -> int:
    """Judge the records in ``folder`` and print the outcome.

    Raises:
        RecordsError: there is no readable run.
    """
    from equivcheck.checks.verdict import judge
    from equivcheck.records.records_file import read_evidence

    evidence = read_evidence(folder, compact=True)
    return print_verdict(
        evidence,
        judge(evidence, finished=evidence.sealed is not None),
        output=output,
        folder=folder,
    )


def print_verdict(evidence: Evidence, verdict: Verdict, *, output: Output, folder: Path) -> int:
    """Print a judged run; a run outside ``reports`` is named by its folder in commands."""
    from equivcheck.records.run_folder import REPORTS, name_by_folder
    from equivcheck.report.terminal import show
    from equivcheck.report.view import view_of

    if not folder.resolve().is_relative_to(REPORTS.resolve()):
        named = tuple(name_by_folder(finding, folder) for finding in verdict.findings)
        verdict = msgspec.structs.replace(verdict, findings=named)
    if output.as_json:
        output.document(document_of(evidence, verdict, folder=folder))
    else:
        output.draw(lambda stream: show(view_of(evidence, verdict), stream))
    return verdict.exit_code


def document_of(evidence: Evidence, verdict: Verdict, *, folder: Path) -> dict[str, Any]:
    """The run for machines: the same view that people see, and where its records are."""
    from equivcheck.report.view import view_of

    view: dict[str, Any] = msgspec.to_builtins(view_of(evidence, verdict))
    return view | {"exit_code": verdict.exit_code, "folder": str(folder)}
