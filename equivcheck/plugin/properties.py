"""What an item tells JUnit, and the controller of a distributed session, in short JSON strings."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from equivcheck.core.findings import Finding, worst

FINDINGS = "equivcheck"
RUN_PROPERTY = "equivcheck_run"
"""Name of the property that says where the run lies."""
HEADLINE_CHARACTERS = 300


class RunNote(Struct, frozen=True, kw_only=True):
    """Where a session's run lies, and how much of the suites it covers."""

    session: str
    """Names the pytest session; shared by its workers."""
    folder: str
    """From the one that pytest was started in: a JUnit file says nothing of the machine's."""
    selected: int
    """Items."""
    collected: int


def of_findings(findings: Sequence[Finding]) -> tuple[str, str]:
    """An item's outcome with the worst finding's figures; under 1 kB, no token arrays."""
    gravest = max(findings, key=lambda finding: finding.outcome.severity)
    figures = {
        "outcome": worst([finding.outcome for finding in findings]),
        "check": gravest.check,
        "subject": gravest.subject,
        "reason": gravest.reason,
        "headline": gravest.headline[:HEADLINE_CHARACTERS],
        "n": gravest.n,
        "estimate": gravest.estimate,
        "limit": gravest.limit,
    }
    return FINDINGS, msgspec.json.encode(figures).decode()


def of_run(note: RunNote) -> tuple[str, str]:
    """The property every selected item carries."""
    return RUN_PROPERTY, msgspec.json.encode(note).decode()


def read_note(value: str) -> RunNote:
    """Read the property back."""
    return msgspec.json.decode(value, type=RunNote)
