"""The report as one HTML file: no script, nothing fetched, legible without its style sheet.

Draws the view and adds no judgement. Text comes out visible (controls as escapes), bounded, and
escaped for HTML, whatever the view held.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from equivcheck.baselines.trend_words import TREND_HEADER, trend_cells
from equivcheck.core.escape import ELLIPSIS, harmless
from equivcheck.report import figures
from equivcheck.report.acceptance import SLOT_HEADER, group_cells, group_tables, slot_cells
from equivcheck.report.baseline_view import (
    VS_BASE,
    box_lines,
    legend,
    vs_base_words,
)
from equivcheck.report.blocks import MOST_DETAIL_LINES, SYMBOLS
from equivcheck.report.common import COMMON_TITLE, failing_words, shared_words
from equivcheck.report.distribution import BOUND_HEADER, DISTRIBUTION_HEADER
from equivcheck.report.events import EVENT_HEADER, event_cells, exercised_words
from equivcheck.report.grades import GRADE_HEADER, grade_cells, off_words
from equivcheck.report.judged import JUDGED_HEADER, judged_cells
from equivcheck.report.latency import LATENCY_HEADER, drawn_up_to, latency_cells, milliseconds
from equivcheck.report.layout import acceptance_words, count_words, workload_cells
from equivcheck.report.stages import STAGE_HEADER, STAGE_LEGEND, stage_cells
from equivcheck.report.view import RunView

if TYPE_CHECKING:
    from jinja2 import Template

MOST_BYTES = 500 * 1024
MOST_CHARACTERS = 400
"""Most characters of any one text."""


MOST_OPEN = 3
"""Findings that are opened from the start."""


class Most(NamedTuple):
    """How many of a kind are shown; the file says how many more there are."""

    cases: int
    blocks: int
    """Findings opened."""
    rows: int
    """Rows of every table but that of the cases."""


ROOM = (Most(1000, 50, 100), Most(300, 50, 100), Most(100, 20, 50), Most(20, 5, 20))
"""The first with which the file keeps to `MOST_BYTES` is taken."""


def render(view: RunView) -> str:
    """The whole document, ending in a line end."""
    for most in ROOM:
        text = template("report.html.j2").render(
            view=view,
            most=most,
            most_details=MOST_DETAIL_LINES,
            most_open=MOST_OPEN,
            symbols={outcome.value: symbol for outcome, symbol in SYMBOLS.items()},
            counts=count_words(view),
            figures=figures,
            workload_cells=workload_cells,
            acceptance_words=acceptance_words,
            slot_header=SLOT_HEADER,
            slot_cells=slot_cells,
            group_tables=group_tables,
            group_cells=group_cells,
            common_title=COMMON_TITLE,
            failing_words=failing_words,
            shared_words=shared_words,
            grade_header=GRADE_HEADER,
            grade_cells=grade_cells,
            distribution_header=DISTRIBUTION_HEADER,
            stage_header=STAGE_HEADER,
            stage_legend=STAGE_LEGEND,
            stage_cells=stage_cells,
            bound_header=BOUND_HEADER,
            latency_header=LATENCY_HEADER,
            latency_cells=latency_cells,
            milliseconds=milliseconds,
            latency_most=drawn_up_to(view.latencies),
            off_words=off_words(view.grades),
            event_header=EVENT_HEADER,
            event_cells=event_cells,
            exercised_words=exercised_words,
            judged_header=JUDGED_HEADER,
            judged_cells=judged_cells,
            vs_base=VS_BASE,
            vs_base_words=vs_base_words,
            box_lines=box_lines,
            legend=legend,
            trend_header=TREND_HEADER,
            trend_cells=trend_cells,
        )
        if len(text.encode()) <= MOST_BYTES:
            break
    return text


def printed(value: Any) -> Any:
    """Whatever a template prints, with controls as escapes and bounded in length.

    The view is escaped already, so backslashes stay as they are. Markup is the template's own.
    """
    from markupsafe import Markup

    if isinstance(value, Markup):
        return value
    text = str(value)
    kept = harmless(text[:MOST_CHARACTERS])
    if len(text) <= MOST_CHARACTERS and len(kept) <= MOST_CHARACTERS:
        return kept
    return kept[: MOST_CHARACTERS - 1] + ELLIPSIS


@cache
def template(name: str) -> Template:
    """One of the templates beside this module, compiled once; all it prints is made harmless."""
    # Jinja is the price of writing a report only.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=printed,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(name)
