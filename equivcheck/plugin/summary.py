"""The verdict at the end of a pytest session: a few lines, whatever ``-v`` or ``-n`` say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from equivcheck.checks.verdict import judge
from equivcheck.core.errors import RecordsError
from equivcheck.core.escape import harmless
from equivcheck.plugin.marker import read_marker
from equivcheck.plugin.properties import RUN_PROPERTY, RunNote, read_note
from equivcheck.records.records_file import read_evidence
from equivcheck.report.baseline_view import box_lines
from equivcheck.report.common import common_lines
from equivcheck.report.layout import columns, count_words, workload_table
from equivcheck.report.view import view_of

MOST_WORKLOADS = 12


def write_summary(terminal: pytest.TerminalReporter, run_property: str) -> None:
    """Write the section, from the records that the session left."""
    note = read_note(run_property)
    folder = terminal.config.invocation_params.dir / note.folder
    marker = read_marker(folder, session=note.session)
    terminal.section("equivcheck")
    if marker is None or marker.failure is not None:
        told = marker.failure if marker else _error(terminal)
        why = told or "interrupted; run the same again to go on"
        terminal.line(harmless(f"NO VERDICT — {why}"))
        return
    if marker.note:
        terminal.line(harmless(f"note: {marker.note}"))
    for line in _lines(note, folder):
        terminal.line(harmless(line))


def _error(terminal: pytest.TerminalReporter) -> str | None:
    """What kept the session from leaving even its marker; None: no item has met an error."""
    for report in terminal.stats.get("error", ()):
        if RUN_PROPERTY in dict(report.user_properties):
            crash = getattr(report.longrepr, "reprcrash", None)
            told = crash.message if crash else report.longreprtext
            return str(told).strip().partition("\n")[0].removeprefix("Failed: ")
    return None


def _lines(note: RunNote, folder: Path) -> Iterator[str]:
    try:
        evidence = read_evidence(folder)
    except RecordsError as error:
        yield f"NO VERDICT — {error}"
        return
    view = view_of(evidence, judge(evidence))
    if note.selected < note.collected:
        yield (
            f"PARTIAL — {note.selected} of {note.collected} items were selected: "
            f"no verdict on the suites"
        )
    else:
        yield view.headline
    yield view.arms
    yield f"{count_words(view)} · run {view.run}"
    if view.unsealed:
        yield view.evidence
    if view.against:
        yield from box_lines(view.against)
    if view.workloads:
        yield ""
        yield from columns(workload_table(view, most=MOST_WORKLOADS))
    if len(view.workloads) > MOST_WORKLOADS:
        yield f"… {len(view.workloads) - MOST_WORKLOADS} more workloads in the report"
    if view.common:
        yield ""
        yield from common_lines(view.common)
