"""Write a run's reports beside its records: `report.txt` and `report.md`, whole or not at all."""

from __future__ import annotations

from pathlib import Path

from equivcheck.report import markdown, terminal
from equivcheck.report.view import RunView

MOST_BLOCKS = 50
"""Findings opened in `report.txt`."""


def write_reports(folder: Path, view: RunView) -> tuple[Path, ...]:
    """Write, replacing earlier ones, and return the paths."""
    texts = {
        "report.txt": terminal.render(view, most_blocks=MOST_BLOCKS),
        "report.md": markdown.render(view),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        unfinished = folder / f".{name}.part"
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(folder / name)
    return tuple(folder / name for name in texts)
