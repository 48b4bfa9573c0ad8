"""Cells and columns of the plain-text report: numbers as words, tables in terminal cells."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from equivcheck.core.escape import clip, width, wrapped
from equivcheck.report.baseline_view import VS_BASE, vs_base_words
from equivcheck.report.blocks import MOST_LINES, SYMBOLS, WIDTH
from equivcheck.report.view import GateRow, RunView, WorkloadRow

WORKLOAD_HEADER = ("", "workload", "identical", "tokens", "acceptance (95 %)", "tokens/step")
MOST_CELLS = 40
"""Most cells of one table cell."""


def workload_table(view: RunView, *, most: int | None = None) -> list[tuple[str, ...]]:
    """Header and rows, with a column about the baseline where there is one; empty without rows."""
    rows = view.workloads[:most]
    if not rows:
        return []
    if view.against is None:
        return [WORKLOAD_HEADER, *map(workload_cells, rows)]
    return [
        (*WORKLOAD_HEADER, VS_BASE),
        *((*workload_cells(row), vs_base_words(row.vs_base)) for row in rows),
    ]


def workload_cells(row: WorkloadRow) -> tuple[str, ...]:
    """State, name, identical of compared, tokens, acceptance rate, acceptance length."""
    return (
        f"{SYMBOLS[row.outcome]} {row.outcome.value}",
        row.workload,
        f"{row.identical}/{row.cases}" if row.cases else "not compared",
        f"{row.tokens:,}",
        acceptance_words(row),
        "n/a" if row.tokens_per_step is None else f"{row.tokens_per_step:.2f}",
    )


def acceptance_words(row: WorkloadRow) -> str:
    """``0.81 [0.79, 0.83]``, without the interval where there is none."""
    if row.acceptance is None:
        return "n/a"
    if row.acceptance_interval is None:
        return f"{row.acceptance:.2f}"
    low, high = row.acceptance_interval
    return f"{row.acceptance:.2f} [{low:.2f}, {high:.2f}]"


def gate_cells(row: GateRow) -> tuple[str, ...]:
    """State, name, sentence."""
    return (f"{SYMBOLS[row.outcome]} {row.outcome.value}", row.check, row.summary)


def count_words(view: RunView) -> str:
    """``findings: 2 fail · 1 inconclusive · 22 pass``, worst first."""
    order = ("fail", "inconclusive", "pass")
    return "findings: " + " · ".join(
        f"{view.counts.get(outcome, 0)} {outcome}" for outcome in order
    )


def gate_lines(view: RunView) -> Iterator[str]:
    """One gate a row; what it found is wrapped and not cut."""
    names = [gate_cells(row)[:2] for row in view.gates]
    longest = max((width(text) for text in columns(names)), default=0)
    for text, row in zip(columns(names), view.gates, strict=True):
        start = text + " " * (longest - width(text) + 2)
        yield from wrapped(
            start + row.summary, cells=WIDTH, most=MOST_LINES, indent=" " * width(start)
        )


def columns(rows: Sequence[Sequence[str]], *, last_cells: int = MOST_CELLS) -> list[str]:
    """Left-aligned columns two cells apart; the last may take ``last_cells``."""
    if not rows:
        return []
    last = len(rows[0]) - 1
    bounded = [
        [clip(cell, cells=last_cells if at == last else MOST_CELLS) for at, cell in enumerate(row)]
        for row in rows
    ]
    widths = [max(width(row[at]) for row in bounded) for at in range(last + 1)]
    return [
        "  ".join(cell + " " * (widths[at] - width(cell)) for at, cell in enumerate(row)).rstrip()
        for row in bounded
    ]
