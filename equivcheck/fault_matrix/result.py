"""What running one fault or control has shown. One JSON line each in the ledger."""

from __future__ import annotations

import enum
from collections.abc import Sequence

from msgspec import Struct, structs

from equivcheck.checks.verdict import Verdict
from equivcheck.core.findings import Finding, Outcome, worst
from equivcheck.fault_matrix.degradation import Degradation
from equivcheck.faults.fault import Breaks

IDENTITY = frozenset(
    {"greedy", "coupled", "sampled", "replayed", "determinism", "batching", "schedules"}
)
"""Checks that say that the output is not the target's."""


class Said(enum.StrEnum):
    """What the tool says of a decoder, in the words of the matrix."""

    NOT_EQUIVALENT = "not equivalent"
    INTERFACE = "broken interface"
    ACCOUNTING = "broken accounting"
    DEGRADED = "lossless, draft degraded"
    NOT_TESTED = "not put to the test"
    INCONCLUSIVE = "inconclusive"
    EQUIVALENT = "equivalent"
    BROKE = "could not run"


class Result(Struct, frozen=True, kw_only=True):
    """One run of one fault or control."""

    id: str
    family: str
    summary: str
    recreates: str
    breaks: Breaks
    caught_by: str
    label: str | None
    candidate: str
    schedules: tuple[str, ...]
    seed: int
    cases: str
    """Digest of all that decides the run, so that a stored result can be trusted."""
    created: str
    """UTC, ISO 8601."""
    commit: str
    """Commit of the code that ran, with a plus where it was changed."""
    headline: str
    checks: dict[str, Outcome]
    """Check to the worst of its findings."""
    said: Said
    caught: bool
    """As its entry wants it; of a control, that it was not accused."""
    accused: bool
    """Whether any check failed."""
    requests: int | None = None
    """Requests up to the first that the designated check fails, in the order of asking, of the
    schedules made for the fault; others do not count."""
    tokens: int | None = None
    """Tokens the candidate had given by then, in these; drawn, where a distribution is tested."""
    answered: int = 0
    """Tokens the candidate gave in all."""
    missing: tuple[str, ...] = ()
    """Events that did not occur."""
    degradations: tuple[Degradation, ...] = ()
    message: tuple[str, ...] = ()
    """The designated check's first failure, as users see it."""
    seconds: float = 0.0
    """Wall time; of no meaning on a busy machine."""
    cpu_seconds: float = 0.0
    """Processor time."""

    @property
    def sound(self) -> bool:
        """Whether it is of a control."""
        return self.breaks == "nothing"


def by_check(findings: Sequence[Finding]) -> dict[str, Outcome]:
    """The worst outcome of each check, in their order."""
    gathered: dict[str, list[Outcome]] = {}
    for finding in findings:
        gathered.setdefault(finding.check, []).append(finding.outcome)
    return {check: worst(outcomes) for check, outcomes in gathered.items()}


def say(verdict: Verdict, *, degraded: bool, missing: Sequence[str]) -> Said:
    """Put a verdict into the words of the matrix, the gravest first."""
    checks = by_check(verdict.findings)
    failed = {check for check, outcome in checks.items() if outcome is Outcome.FAIL}
    unsure = {check for check, outcome in checks.items() if outcome is Outcome.INCONCLUSIVE}
    if failed & IDENTITY:
        return Said.NOT_EQUIVALENT
    if failed:
        return Said.ACCOUNTING if failed == {"counters"} else Said.INTERFACE
    # Without accepted drafts `engaged` has doubts, and a worse drafter is what explains them.
    if degraded and unsure <= {"engaged"}:
        return Said.DEGRADED
    if unsure:
        return Said.NOT_TESTED if unsure == {"engaged"} else Said.INCONCLUSIVE
    return Said.INCONCLUSIVE if missing else Said.EQUIVALENT


def is_caught(said: Said, checks: dict[str, Outcome], *, breaks: Breaks, caught_by: str) -> bool:
    """Whether the designated check has spoken, and the tool has called the fault by its kind."""
    if breaks == "nothing":
        return said in (Said.EQUIVALENT, Said.NOT_TESTED)
    if breaks == "speed":
        return said is (Said.NOT_TESTED if caught_by == "engaged" else Said.DEGRADED)
    if breaks == "measurement" and said is not Said.ACCOUNTING:
        return False
    return checks.get(caught_by) is Outcome.FAIL


def completed(
    blank: Result,
    verdict: Verdict,
    *,
    degradations: Sequence[Degradation],
    missing: Sequence[str],
    detected: tuple[int | None, int | None],
    answered: int,
    message: Sequence[str],
) -> Result:
    """A result with all that judging found.

    Args:
        blank: Which fault or control was run, and on what.
        verdict: Of the run.
        degradations: Workloads on which it was looked for, worse than the sound decoder or not.
        missing: Events that did not occur.
        detected: `Result.requests` and `Result.tokens`.
        answered: Tokens that the candidate gave in all.
        message: The designated check's first failure, as users see it.
    """
    checks = by_check(verdict.findings)
    said = say(verdict, degraded=any(one.degraded for one in degradations), missing=missing)
    return structs.replace(
        blank,
        headline=verdict.headline,
        checks=checks,
        said=said,
        caught=is_caught(said, checks, breaks=blank.breaks, caught_by=blank.caught_by),
        accused=Outcome.FAIL in checks.values(),
        requests=detected[0],
        tokens=detected[1],
        answered=answered,
        missing=tuple(missing),
        degradations=tuple(degradations),
        message=tuple(message),
    )
