"""The report as Markdown, for a pull request or a step summary: short, bounded, no HTML."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from equivcheck.baselines.trend_words import TREND_HEADER, trend_cells
from equivcheck.core.escape import harmless
from equivcheck.report.acceptance import (
    SLOT_HEADER,
    AcceptanceView,
    group_cells,
    group_tables,
    slot_cells,
)
from equivcheck.report.baseline_view import box_lines, legend
from equivcheck.report.blocks import block_lines
from equivcheck.report.common import COMMON_TITLE, failing_words, shared_words
from equivcheck.report.distribution import distribution_lines
from equivcheck.report.events import (
    counted_words,
    exercised_words,
    not_exercised_words,
    unknown_words,
)
from equivcheck.report.grades import GRADE_HEADER, grade_cells, off_words
from equivcheck.report.judged import JUDGED_HEADER, judged_cells
from equivcheck.report.layout import count_words, gate_cells, workload_table
from equivcheck.report.stages import STAGE_LEGEND, stage_table
from equivcheck.report.view import FindingBlock, RunView

MOST_BLOCKS = 10
"""Findings opened: GitHub aborts a step summary of over 1 MiB, and nobody reads so far."""
MOST_NEAR_TIES = 200
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~])")
_FENCES = re.compile(r"`+")


def render(view: RunView) -> str:
    """The whole document, ending in a line end."""
    return "".join(f"{line}\n" for line in map(harmless, _lines(view)))


def _lines(view: RunView) -> Iterator[str]:
    yield f"## {escape(view.headline)}"
    yield ""
    yield escape(view.arms)
    yield ""
    yield f"{count_words(view)} · run {escape(view.run)}"
    if view.against:
        yield ""
        yield from (f"> {escape(line.strip())}  " for line in box_lines(view.against))
    if view.workloads:
        yield ""
        header, *rows = workload_table(view)
        yield from table(("state", *header[1:]), rows)
    if view.against:
        yield ""
        yield escape(legend(view.against))
        if view.against.trends:
            yield ""
            yield from table(TREND_HEADER, [trend_cells(each) for each in view.against.trends])
    if view.grades:
        yield ""
        yield from table(GRADE_HEADER, [grade_cells(row) for row in view.grades])
        if off := off_words(view.grades):
            yield ""
            yield escape(off)
    yield ""
    yield from table(("state", "gate", "what it found"), [gate_cells(row) for row in view.gates])
    if view.distribution:
        yield ""
        for text in distribution_lines(view.distribution):
            yield f"- {escape(text)}"
        if view.distribution.stages:
            yield ""
            header, *rows = stage_table(view.distribution.stages)
            yield from table(header, rows)
            yield ""
            yield STAGE_LEGEND
    if view.acceptance:
        yield from _acceptance(view.acceptance)
    if view.common:
        yield ""
        yield f"### {COMMON_TITLE}"
        yield ""
        for told in view.common:
            shared = "; ".join(shared_words(told))
            yield f"- {escape(f'{failing_words(told)}: {shared}')}"
    yield from _blocks(view.problems)
    if view.near_ties:
        yield ""
        yield "### Near ties"
        yield ""
        yield from table(
            ("case", "what differs"),
            [
                (block.finding.subject, block.finding.headline)
                for block in view.near_ties[:MOST_NEAR_TIES]
            ],
        )
        yield from _more(len(view.near_ties) - MOST_NEAR_TIES)
    if view.events:
        yield ""
        for words in (exercised_words, not_exercised_words, unknown_words, counted_words):
            if said := words(view.events):
                yield f"- {escape(said)}"
        yield ""
        yield from table(JUDGED_HEADER, [judged_cells(row) for row in view.judged])
    yield ""
    yield escape(" · ".join(view.environment))
    yield ""
    yield escape(view.evidence)


def _acceptance(view: AcceptanceView) -> Iterator[str]:
    yield ""
    yield "### Acceptance"
    if view.slots:
        yield ""
        yield from table(SLOT_HEADER, [slot_cells(row) for row in view.slots])
    for header, rows in group_tables(view):
        yield ""
        yield from table(header, [group_cells(row) for row in rows])


def escape(text: str) -> str:
    """Make Markdown's specials literal, and controls escapes where they are not yet."""
    return _SPECIAL.sub(r"\\\1", harmless(text))


def code(text: str) -> str:
    """A span of code that no backtick in it ends."""
    ticks = "`" * (1 + _longest([text]))
    return f"{ticks}{harmless(text)}{ticks}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Header, rule and rows, cells escaped."""
    yield f"| {' | '.join(header)} |"
    yield f"|{' --- |' * len(header)}"
    for row in rows:
        yield f"| {' | '.join(escape(cell) for cell in row)} |"


def _blocks(blocks: Sequence[FindingBlock]) -> Iterator[str]:
    for block in blocks[:MOST_BLOCKS]:
        lines = list(block_lines(block.finding, where=block.where))
        fence = "`" * max(3, _longest(lines) + 1)
        yield ""
        yield f"{fence}text"
        yield from lines
        yield fence
    yield from _more(len(blocks) - MOST_BLOCKS)


def _longest(lines: Sequence[str]) -> int:
    """Longest of all runs of backticks."""
    return max((len(run) for line in lines for run in _FENCES.findall(line)), default=0)


def _more(count: int) -> Iterator[str]:
    if count > 0:
        yield ""
        yield f"… {count} more in records.jsonl"
