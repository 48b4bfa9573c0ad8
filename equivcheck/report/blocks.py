"""One finding as plain lines: the block that the terminal, pytest, Markdown and replay share."""

from __future__ import annotations

from collections.abc import Iterator

from equivcheck.core.escape import clip, harmless, wrapped
from equivcheck.core.findings import Finding, Outcome

SYMBOLS = {Outcome.PASS: "✓", Outcome.INCONCLUSIVE: "?", Outcome.FAIL: "✗"}
"""Never alone: the word stands beside it."""
WIDTH = 100
MOST_LINES = 6
"""Most lines of a headline or a detail once it is wrapped: no reason is so long."""
MOST_DETAIL_LINES = 30
"""Most lines of all details together."""


def block_lines(finding: Finding, *, where: str | None = None) -> Iterator[str]:
    """The finding's subject, verdict, evidence and the command that repeats it."""
    place = f" · {where}" if where else ""
    symbol, word = SYMBOLS[finding.outcome], finding.outcome.value
    yield clip(f"{symbol} {word} {finding.subject} · {finding.check}{place}", cells=WIDTH)
    yield from wrapped(f"  {finding.headline}", cells=WIDTH, most=MOST_LINES, indent="    ")
    left = MOST_DETAIL_LINES
    for shown, detail in enumerate(finding.details):
        lines = wrapped(f"    {detail}", cells=WIDTH, most=MOST_LINES, indent="      ")
        left -= len(lines)
        if left < 0:
            yield f"    … {len(finding.details) - shown} more lines in records.jsonl"
            break
        yield from lines
    if finding.repeat:
        yield harmless(f"  repeat: {finding.repeat}")
