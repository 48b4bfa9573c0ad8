"""Gate: the same requests in the same order, to a new engine with the same seed, same answers.

Under an identity contract the reported scores and logits have to agree to the bit as well.
"""

from __future__ import annotations

from equivcheck.checks.repeats import Repeated, repeats
from equivcheck.checks.subjects import plural, repeat_command
from equivcheck.core.findings import Finding, Outcome, Reason, worst
from equivcheck.records.records import CANDIDATE, REPEAT, Evidence, by_workload


def check(evidence: Evidence) -> list[Finding]:
    """One finding for each case that did not repeat, then one a workload."""
    cases = repeats(evidence, arm=REPEAT)
    contract = CANDIDATE in evidence.header.arms and evidence.header.arms[CANDIDATE].identity
    findings = {
        case.pair.key: _case_finding(evidence, case)
        for case in cases
        if case.tokens_differ or (contract and case.differences)
    }
    gathered = by_workload(evidence, cases, key=lambda case: case.pair.key)
    return [*findings.values()] + [
        _summary(workload, found, failed=[c for c in found if c.pair.key in findings])
        for workload, found in gathered.items()
    ]


def _case_finding(evidence: Evidence, case: Repeated) -> Finding:
    return Finding(
        check="determinism",
        subject=case.pair.key,
        outcome=Outcome.FAIL,
        reason=Reason.NONDETERMINISTIC,
        headline=f"asked twice, {CANDIDATE} answered differently: {case.differences[0]}",
        repeat=repeat_command(evidence, case.pair.key),
        n=len(case.pair.target.token_ids),
    )


def _summary(workload: str, cases: list[Repeated], *, failed: list[Repeated]) -> Finding:
    only_bits = sum(bool(case.differences) and not case.tokens_differ for case in cases)
    same = len(cases) - len(failed)
    headline = f"{same} of {plural(len(cases), 'case')} answered the same twice"
    if only_bits and not failed:
        headline += f" ({only_bits} with other low bits in the scores)"
    return Finding(
        check="determinism",
        subject=workload,
        outcome=worst([Outcome.FAIL if failed else Outcome.PASS]),
        reason=Reason.NONDETERMINISTIC if failed else Reason.HELD,
        headline=headline,
        n=len(cases),
    )
