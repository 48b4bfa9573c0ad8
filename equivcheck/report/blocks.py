"""One finding as plain lines: the block that the terminal, pytest, Markdown and replay share."""

from __future__ import annotations

from collections.abc import Iterator

from equivcheck.core.escape import clip, harmless
from equivcheck.core.findings import Finding, Outcome

SYMBOLS = {Outcome.PASS: "✓", Outcome.INCONCLUSIVE: "?", Outcome.FAIL: "✗"}
"""Never alone: the word stands beside it."""
WIDTH = 100
MOST_DETAILS = 20
"""So that a block stays within 25 lines."""


def block_lines(finding: Finding, *, where: str | None = None) -> Iterator[str]:
    """The finding's subject, verdict, evidence and the command that repeats it."""
    place = f" · {where}" if where else ""
    symbol, word = SYMBOLS[finding.outcome], finding.outcome.value
    yield clip(f"{symbol} {word} {finding.subject} · {finding.check}{place}", cells=WIDTH)
    yield clip(f"  {finding.headline}", cells=WIDTH)
    for line in finding.details[:MOST_DETAILS]:
        yield clip(f"    {line}", cells=WIDTH)
    if len(finding.details) > MOST_DETAILS:
        yield f"    … {len(finding.details) - MOST_DETAILS} more lines in records.jsonl"
    if finding.repeat:
        yield harmless(f"  repeat: {finding.repeat}")
