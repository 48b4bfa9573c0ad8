"""What the failures of each check have in common, in a few lines of plain text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from equivcheck.checks.diagnosis import Diagnosis

COMMON_TITLE = "What failures have in common"
NOTHING = "nothing that chance does not explain"


def failing_words(told: Diagnosis) -> str:
    """``greedy, 59 of 95 cases``."""
    looked = f", {told.looked:,} of them looked at" if told.looked < told.cases else ""
    return f"{told.check}, {told.failing:,} of {told.cases:,} cases{looked}"


def shared_words(told: Diagnosis) -> tuple[str, ...]:
    """What they share, a line each."""
    return told.lines or (NOTHING,)


def common_lines(diagnoses: Sequence[Diagnosis]) -> Iterator[str]:
    """All of it; no line where no check failed on several cases."""
    if diagnoses:
        yield f"{COMMON_TITLE}:"
    for told in diagnoses:
        yield f"  {failing_words(told)}"
        yield from (f"    {line}" for line in shared_words(told))
