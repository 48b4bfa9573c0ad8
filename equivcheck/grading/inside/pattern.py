"""Grades a text by a pattern. Backtracking may take for ever, which is why it is done here."""

from __future__ import annotations

import re
from typing import Any


def judge(job: dict[str, Any]) -> tuple[bool, str]:
    """Match the whole text."""
    if re.compile(job["pattern"]).fullmatch(job["text"]):
        return True, "matches the pattern"
    return False, "does not match the pattern"
