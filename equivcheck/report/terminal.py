"""The report for a terminal: one screen where all is well, every divergence opened where not.

Plain lines first; colour is laid over them by rich, on a terminal only, and says nothing that the
words do not. At most 100 columns.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import TextIO

from equivcheck.baselines.trend_words import TREND_HEADER, trend_cells
from equivcheck.core.escape import clip, harmless, wrapped
from equivcheck.core.findings import Outcome
from equivcheck.report.acceptance import acceptance_lines
from equivcheck.report.baseline_view import box_lines, legend
from equivcheck.report.blocks import MOST_LINES, SYMBOLS, WIDTH, block_lines
from equivcheck.report.common import common_lines
from equivcheck.report.distribution import distribution_lines
from equivcheck.report.events import event_lines
from equivcheck.report.grades import GRADE_HEADER, grade_cells, off_words
from equivcheck.report.judged import judged_lines
from equivcheck.report.layout import (
    columns,
    count_words,
    gate_lines,
    workload_table,
)
from equivcheck.report.stages import STAGE_LEGEND, stage_table
from equivcheck.report.view import RunView

MOST_BLOCKS = 5
"""Findings opened on a terminal; the report file opens more."""
MOST_NEAR_TIES = 5
MOST_WORKLOADS = 12
_STYLES = {Outcome.PASS: "green", Outcome.INCONCLUSIVE: "yellow", Outcome.FAIL: "red"}


def lines_of(view: RunView, *, most_blocks: int = MOST_BLOCKS) -> Iterator[str]:
    """The report as plain lines, the verdict first; nothing in the run's words can start one."""
    return map(harmless, _lines(view, most_blocks=most_blocks))


def _lines(view: RunView, *, most_blocks: int) -> Iterator[str]:
    yield from wrapped(view.headline, cells=WIDTH, most=MOST_LINES)
    yield clip(view.arms, cells=WIDTH)
    yield f"{count_words(view)} · run {view.run}"
    yield ""
    if view.against:
        yield from (clip(line, cells=WIDTH) for line in box_lines(view.against))
        yield ""
    if view.workloads:
        yield from columns(workload_table(view, most=MOST_WORKLOADS))
        yield from _more(len(view.workloads) - MOST_WORKLOADS, "workloads")
        yield from _under_table(view)
        yield ""
    if view.acceptance:
        for text in acceptance_lines(view.acceptance):
            yield from wrapped(text, cells=WIDTH, most=MOST_LINES, indent="  ")
        yield ""
    if view.grades:
        graded = [grade_cells(row) for row in view.grades[:MOST_WORKLOADS]]
        yield from columns([GRADE_HEADER, *graded])
        yield from _more(len(view.grades) - len(graded), "workloads")
        if off := off_words(view.grades):
            yield off
        yield ""
    yield from gate_lines(view)
    if view.distribution:
        yield ""
        for text in distribution_lines(view.distribution):
            yield from textwrap.wrap(text, width=WIDTH, subsequent_indent="  ")
        yield from columns(stage_table(view.distribution.stages))
        if view.distribution.stages:
            yield from textwrap.wrap(STAGE_LEGEND, width=WIDTH)
    if view.common:
        yield ""
        for text in common_lines(view.common):
            yield from wrapped(text, cells=WIDTH, most=MOST_LINES, indent=6 * " ")
    for block in view.problems[:most_blocks]:
        yield ""
        yield from block_lines(block.finding, where=block.where)
    yield from _more(len(view.problems) - most_blocks, "findings that did not pass")
    if view.near_ties:
        yield ""
        for block in view.near_ties[:MOST_NEAR_TIES]:
            line = f"~ near tie {block.finding.subject}: {block.finding.headline}"
            yield from wrapped(line, cells=WIDTH, most=MOST_LINES, indent="    ")
        yield from _more(len(view.near_ties) - MOST_NEAR_TIES, "near ties")
    if view.events:
        yield ""
        yield from event_lines(view.events)
        yield from judged_lines(view.judged)
    yield ""
    yield clip(" · ".join(view.environment), cells=WIDTH)
    yield from textwrap.wrap(view.evidence, width=WIDTH)
    yield "positions, verify steps and draft slots count from 0"


def _under_table(view: RunView) -> Iterator[str]:
    if view.against is None:
        return
    yield from textwrap.wrap(legend(view.against), width=WIDTH)
    if trends := view.against.trends[:MOST_WORKLOADS]:
        yield ""
        yield from columns([TREND_HEADER, *map(trend_cells, trends)], last_cells=60)


def render(view: RunView, *, most_blocks: int = MOST_BLOCKS) -> str:
    """The report as plain text, ending in a line end."""
    return "".join(f"{line}\n" for line in lines_of(view, most_blocks=most_blocks))


def show(view: RunView, file: TextIO) -> None:
    """Write the report, coloured where ``file`` is a terminal that wants colour (``NO_COLOR``)."""
    if not file.isatty():
        file.write(render(view))
        return
    # rich is the price of colour only.
    from rich.console import Console
    from rich.text import Text

    console = Console(file=file, highlight=False, markup=False, emoji=False)
    for number, line in enumerate(lines_of(view)):
        style = f"bold {_STYLES[view.outcome]}" if number == 0 else _style(line)
        console.print(Text(line, style=style), soft_wrap=True)


def _style(line: str) -> str:
    for outcome, symbol in SYMBOLS.items():
        if line.startswith(f"{symbol} {outcome.value}"):
            return _STYLES[outcome]
    return ""


def _more(count: int, what: str) -> Iterator[str]:
    if count > 0:
        yield f"… {count} more {what} in records.jsonl"
