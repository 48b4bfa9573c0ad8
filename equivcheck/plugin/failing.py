"""How a finding that did not pass reads: its headline, the evidence, the command that repeats it.

The one place that touches pytest's private representation classes. They give a one-line summary
and JUnit message, survive xdist and carry file and line to CI annotations; plain text is the
retreat where a later pytest has moved them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from equivcheck.core.escape import harmless
from equivcheck.core.findings import Finding, Outcome

SHOWN = 4
"""Findings shown in full per item; the records hold them all."""


class GateNotPassed(Exception):
    """Findings of which at least one is no pass; the worst comes first."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        """Keep what did not pass."""
        bad = [finding for finding in findings if finding.outcome is not Outcome.PASS]
        self.findings = sorted(bad, key=lambda finding: -finding.outcome.severity)
        super().__init__(one_line(self.findings[0]))


def one_line(finding: Finding) -> str:
    """The headline; not knowing is said first, because it is no failure of the decoder's."""
    unknown = finding.outcome is Outcome.INCONCLUSIVE
    return harmless(f"INCONCLUSIVE: {finding.headline}" if unknown else finding.headline)


def failure_text(failure: GateNotPassed, *, path: str, line: int) -> Any:
    """What pytest prints for a failed item: a representation of its own, or else plain text."""
    text = "\n".join([*_lines(failure.findings), "", f"{path}:{line}"]) + "\n"
    try:
        from _pytest._code.code import (
            ReprEntryNative,
            ReprExceptionInfo,
            ReprFileLocation,
            ReprTraceback,
        )
    except ImportError:
        return text
    return ReprExceptionInfo(
        reprtraceback=ReprTraceback([ReprEntryNative([text])], extraline=None, style="native"),
        reprcrash=ReprFileLocation(path, line, str(failure)),
    )


def _lines(findings: Sequence[Finding]) -> Iterator[str]:
    for index, finding in enumerate(findings[:SHOWN]):
        if index:
            yield ""
        yield one_line(finding)
        yield from (harmless(f"  {detail}") for detail in finding.details)
        if finding.repeat:
            yield harmless(f"  repeat: {finding.repeat}")
    if len(findings) > SHOWN:
        yield f"… and {len(findings) - SHOWN} more in the run's records"
