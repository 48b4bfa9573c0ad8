"""What each check judged and what it left out, in words."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from equivcheck.checks.judged import Judged
from equivcheck.checks.subjects import plural
from equivcheck.report.blocks import WIDTH

JUDGED_HEADER = ("check", "judged", "not judged")


def judged_lines(rows: Sequence[Judged]) -> Iterator[str]:
    """What was left out, wrapped; nothing where every check judged all."""
    told = [f"{row.check} {_left(row)}" for row in rows if row.not_judged]
    if told:
        yield from textwrap.wrap(
            f"not judged: {'; '.join(told)}", width=WIDTH, subsequent_indent="  "
        )


def judged_cells(row: Judged) -> tuple[str, ...]:
    """Check, how much was judged, how much was not and why."""
    return (row.check, f"{row.judged:,} {row.unit}", _left(row) or "none")


def _left(row: Judged) -> str:
    return ", ".join(
        f"{plural(times, row.unit.removesuffix('s'))} ({why})"
        for why, times in row.not_judged.items()
    )
