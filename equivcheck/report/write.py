"""Write a run's reports beside its records, as text, Markdown and HTML, whole or not at all."""

from __future__ import annotations

from pathlib import Path

from equivcheck.core.atomic_write import replace, writing
from equivcheck.report import html, markdown, terminal
from equivcheck.report.step_summary import add_to_step_summary
from equivcheck.report.view import RunView

MOST_BLOCKS = 50
"""Findings opened in `report.txt`."""


def write_reports(folder: Path, view: RunView) -> tuple[Path, ...]:
    """Write, replacing earlier ones, and return the paths. On GitHub, add to the step summary.

    Raises:
        EquivcheckError: one cannot be written.
    """
    texts = {
        "report.txt": terminal.render(view, most_blocks=MOST_BLOCKS),
        "report.md": markdown.render(view),
        "report.html": html.render(view),
    }
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        replace(folder / name, text)
    add_to_step_summary(texts["report.md"])
    return tuple(folder / name for name in texts)
