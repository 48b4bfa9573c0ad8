"""What of a run a bundle repeats: one finding, how it is repeated, and the batch that showed it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from msgspec import Struct, to_builtins

from equivcheck.checks.verdict import DISTRIBUTION_CHECKS, judge
from equivcheck.core.errors import RecordsError, did_you_mean
from equivcheck.core.escape import visible
from equivcheck.core.findings import Finding, Outcome
from equivcheck.core.generation import Request
from equivcheck.pipeline.repeating.rules import broken
from equivcheck.records.asking_order import chunked
from equivcheck.records.records import CANDIDATE, REPEAT, SAMPLED, Evidence

Kind = Literal["tokens", "again", "draws", "rules"]
"""tokens: another answer than the target's. again: another answer than before. draws: sampled
tokens that do not follow the target's distribution. rules: too long, or wrong where it stops."""

REPEATED: dict[str, Kind] = {
    "greedy": "tokens",
    "coupled": "tokens",
    "determinism": "again",
    "batching": "again",
    **dict.fromkeys(DISTRIBUTION_CHECKS, "draws"),
    "stopping": "rules",
}
"""Checks whose failures a script can repeat by asking engines alone."""


class Subject(Struct, frozen=True, kw_only=True):
    """What is repeated."""

    kind: Kind
    key: str
    """The case; of draws of more than one, empty."""
    finding: Finding
    batch: tuple[Request, ...]
    """As they were put to the candidate, in that order."""
    findings: tuple[Finding, ...]
    """All of the run's that did not pass."""


def subject_of(evidence: Evidence, key: str | None) -> Subject:
    """Choose a failure: of the case, or the first that can be repeated.

    Raises:
        RecordsError: the run has no such case, or nothing failed that a script can repeat.
    """
    if key is not None and key not in evidence.asked:
        hint = did_you_mean(key, evidence.asked)
        raise RecordsError(f"run {visible(evidence.header.run)} has no case {key!r}{hint}")
    findings = judge(evidence, finished=evidence.sealed is not None).findings
    failed = [each for each in findings if each.outcome is Outcome.FAIL]
    usable = [each for each in failed if each.check in REPEATED and _fits(evidence, each, key)]
    if not usable:
        what = f"of {key} " if key else ""
        others = ", ".join(sorted({each.check for each in failed})) or "none"
        raise RecordsError(
            f"nothing {what}failed that a script can repeat: that is done for "
            f"{', '.join(REPEATED)}; failed here: {others}"
        )
    found = min(usable, key=lambda each: list(REPEATED).index(each.check))
    kind = REPEATED[found.check]
    case = found.subject if found.subject in evidence.asked else key or ""
    return Subject(
        kind=kind,
        key=case,
        finding=found,
        batch=_drawn(evidence) if kind == "draws" else _batch(evidence, case),
        findings=tuple(each for each in findings if each.outcome is not Outcome.PASS),
    )


def _fits(evidence: Evidence, finding: Finding, key: str | None) -> bool:
    if finding.check in DISTRIBUTION_CHECKS:
        return key is None or finding.subject == key or key in evidence.header.planned[SAMPLED]
    if finding.subject not in evidence.asked or key not in (None, finding.subject):
        return False
    return finding.check != "stopping" or _breaks_by_ids(evidence, finding.subject)


def _breaks_by_ids(evidence: Evidence, key: str) -> bool:
    """Whether the candidate's answer breaks a rule that a script sees, which has no text."""
    answer = evidence.captured.get(CANDIDATE, {}).get(key)
    if answer is None:
        return False
    request: dict[str, Any] = to_builtins(evidence.asked[key].request)
    facts = {"eos_token_ids": list(evidence.header.eos_token_ids)}
    return broken(answer.generation.token_ids, request, facts) is not None


def _batch(evidence: Evidence, key: str) -> tuple[Request, ...]:
    """The requests that were put to the candidate together with a case (`capture.plan`)."""
    again = set(evidence.header.planned.get(REPEAT, ()))
    size = evidence.header.settings.setup.batch_size
    requests = [asked.request for asked in evidence.asked.values()]
    for group in (
        [each for each in requests if each.key in again],
        [each for each in requests if each.key not in again],
    ):
        for chunk in chunked(group, size=size):
            if key in {each.key for each in chunk}:
                return chunk
    raise RecordsError(f"{key} was put to no engine")


def _drawn(evidence: Evidence) -> tuple[Request, ...]:
    keys: Sequence[str] = evidence.header.planned.get(SAMPLED, ())
    return tuple(evidence.asked[key].request for key in keys)
