"""Two runs side by side as one HTML page: verdicts, what they were of, acceptance, broken cases.

Draws a comparison and decides nothing. The page keeps the rules of the run's report: no script,
nothing fetched.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import Struct

from equivcheck.baselines.cell_words import LEGEND, change_words, from_to
from equivcheck.baselines.cells import Cell
from equivcheck.compare.comparison import Broken, Comparison, Row
from equivcheck.compare.render import has_times, memory_words, terms_lines
from equivcheck.core.escape import head
from equivcheck.core.findings import Outcome
from equivcheck.records.baseline_record import Baseline
from equivcheck.report.blocks import SYMBOLS
from equivcheck.report.html import template

CELLS = 80
MOST_ROWS = 200
"""Most rows of any one table."""
LINE = 160
"""Pixels from an acceptance rate of 0 to one of 1."""


class ComparedSide(Struct, frozen=True, kw_only=True):
    """One of both runs."""

    role: str
    name: str
    outcome: Outcome
    headline: str
    created: str
    report: str
    """Where its own report is, seen from the page; empty: nowhere that is known."""


class AcceptanceBars(Struct, frozen=True, kw_only=True):
    """Acceptance of both runs, in pixels."""

    base: float
    new: float


class ComparedWorkload(Struct, frozen=True, kw_only=True):
    """One workload."""

    outcome: Outcome
    cells: tuple[str, ...]
    times: tuple[str, ...]
    drawn: AcceptanceBars | None
    """None: one of both has none."""


class FailingCase(Struct, frozen=True, kw_only=True):
    """One case that does not pass now."""

    outcome: Outcome
    mark: str
    key: str
    before: str
    now: str


class View(Struct, frozen=True, kw_only=True):
    """All that the page shows."""

    outcome: Outcome
    mark: str
    headline: str
    sides: tuple[ComparedSide, ComparedSide]
    facts: tuple[tuple[str, str, str], ...]
    """Name and both values, where these differ."""
    timed: bool
    lines: tuple[ComparedWorkload, ...]
    cases: tuple[FailingCase, ...]
    limits: tuple[str, ...]
    notes: tuple[str, ...]
    terms: tuple[str, ...]


def render(found: Comparison, *, base: Baseline, new: Baseline, reports: Mapping[str, str]) -> str:
    """The whole document, ending in a line end.

    Args:
        found: What the comparison says.
        base: One run.
        new: The other.
        reports: From ``base`` and ``new`` to where its own report is, seen from the page.
    """
    view = View(
        outcome=found.outcome,
        mark=SYMBOLS[found.outcome],
        headline=head(found.headline, cells=3 * CELLS),
        sides=(
            _side("base", base, report=reports.get("base", "")),
            _side("new", new, report=reports.get("new", "")),
        ),
        facts=tuple(_facts(base, new)),
        timed=has_times(found),
        lines=tuple(_line(row) for row in found.rows),
        cases=tuple(map(_case, found.broken)),
        limits=tuple(
            f"{each.outcome.value} limit {each.subject}: {each.headline}" for each in found.limits
        ),
        notes=(
            *(words for words in (memory_words(found),) if words),
            *(head(note, cells=3 * CELLS) for note in found.notes),
        ),
        terms=tuple(line for line in terms_lines(found) if line != LEGEND),
    )
    return template("compare.html.j2").render(
        view=view, legend=LEGEND, most_rows=MOST_ROWS, width=LINE
    )


def _side(role: str, run: Baseline, *, report: str) -> ComparedSide:
    return ComparedSide(
        role=role,
        name=head(run.name, cells=CELLS),
        outcome=run.verdict,
        headline=head(run.headline, cells=3 * CELLS),
        created=run.created,
        report=report,
    )


def _facts(base: Baseline, new: Baseline) -> Iterator[tuple[str, str, str]]:
    """What the runs were of, where that differs."""
    one = base.facts | base.under_test | base.environment
    other = new.facts | new.under_test | new.environment
    for name in dict.fromkeys((*one, *other)):
        values = one.get(name, ""), other.get(name, "")
        if values[0] != values[1]:
            yield (
                head(name, cells=CELLS),
                head(values[0], cells=CELLS),
                head(values[1], cells=CELLS),
            )


def _line(row: Row) -> ComparedWorkload:
    prompts = f"{row.prompts}" + (f" ({row.missing} not run)" if row.missing else "")
    return ComparedWorkload(
        outcome=row.outcome,
        cells=(
            f"{SYMBOLS[row.outcome]} {row.outcome.value}",
            head(row.workload, cells=CELLS),
            prompts,
            str(row.passing),
            from_to(row.acceptance),
            change_words(row.acceptance),
        ),
        times=(
            from_to(row.speedup),
            change_words(row.speedup, relative=True),
            from_to(row.p99_ratio),
            change_words(row.tokens_per_second, relative=True),
        ),
        drawn=_drawn(row.acceptance),
    )


def _drawn(acceptance: Cell) -> AcceptanceBars | None:
    if acceptance.base is None or acceptance.new is None:
        return None
    return AcceptanceBars(
        base=round(LINE * acceptance.base, 1), new=round(LINE * acceptance.new, 1)
    )


def _case(each: Broken) -> FailingCase:
    outcome = Outcome.FAIL if each.fails else Outcome.INCONCLUSIVE
    return FailingCase(
        outcome=outcome,
        mark=SYMBOLS[outcome],
        key=head(each.key, cells=CELLS),
        before=each.before or "not there",
        now=f"{'newly ' if each.newly else ''}{each.state}",
    )
