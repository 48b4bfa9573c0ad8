"""Add a run's Markdown report to the summary of a GitHub Actions step.

GitHub names a file in ``$GITHUB_STEP_SUMMARY``, and refuses the whole of it above 1 MiB (Workflow
commands for GitHub Actions, "Adding a job summary"). Outside of GitHub nothing happens.
"""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "GITHUB_STEP_SUMMARY"
MOST_BYTES = 1024 * 1024
"""Most bytes of the file, with what earlier commands of the step have put there."""
CUT = "\n… the rest is in report.md\n"


def add_to_step_summary(document: str) -> None:
    """Append ``document`` once, cut at a paragraph where it does not fit.

    A summary that cannot be written changes no verdict, so an `OSError` is nobody's concern.
    """
    name = os.environ.get(VARIABLE)
    if not name:
        return
    path = Path(name)
    try:
        before = path.read_bytes() if path.exists() else b""
        whole = document.encode()
        if whole in before:
            return
        gap = b"\n" if before else b""
        added = fitting(document, room=MOST_BYTES - len(before) - len(gap)).encode()
        if added:
            with path.open("ab") as file:
                file.write(gap + added)
    except OSError:
        return


def fitting(document: str, *, room: int) -> str:
    """The document, or as many of its first paragraphs as fit ``room`` bytes, or nothing."""
    if len(document.encode()) <= room:
        return document
    kept = document.encode()[: max(0, room - len(CUT.encode()))].decode(errors="ignore")
    paragraphs = kept.rpartition("\n\n")[0]
    return paragraphs + "\n" + CUT if paragraphs else ""
