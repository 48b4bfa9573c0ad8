"""Gate: the same requests in the same order, to a new engine with the same seed, same answers.

Under an identity contract the reported scores and logits have to agree to the bit as well. Where an
engine says that timing decides in which company a request is decoded, the order is not the same
twice: other answers are then no failure, and have to be shown to be near ties.
"""

from __future__ import annotations

from equivcheck.checks.batching import explained
from equivcheck.checks.repeats import Repeated, repeats
from equivcheck.checks.subjects import plural, repeat_command
from equivcheck.core.findings import Finding, Outcome, Reason, worst
from equivcheck.records.records import CANDIDATE, REPEAT, Evidence, by_workload


def check(evidence: Evidence) -> list[Finding]:
    """One finding for each case that did not repeat, then one a workload."""
    cases = repeats(evidence, arm=REPEAT)
    told = evidence.header.arms.get(CANDIDATE)
    contract = told.identity if told else None
    steady = told is None or told.steady_company
    ties = set() if steady else explained(evidence, arm=REPEAT)
    otherwise = Outcome.FAIL if steady else Outcome.INCONCLUSIVE
    findings = {
        case.pair.key: _case_finding(evidence, case, outcome=otherwise)
        for case in cases
        if (case.tokens_differ and case.pair.key not in ties) or (contract and case.differences)
    }
    gathered = by_workload(evidence, cases, key=lambda case: case.pair.key)
    return [*findings.values()] + [
        _summary(workload, found, [findings[c.pair.key] for c in found if c.pair.key in findings])
        for workload, found in gathered.items()
    ]


def _case_finding(evidence: Evidence, case: Repeated, *, outcome: Outcome) -> Finding:
    by_chance = "" if outcome is Outcome.FAIL else ", in a batch that timing decides"
    return Finding(
        check="determinism",
        subject=case.pair.key,
        outcome=outcome,
        reason=Reason.NONDETERMINISTIC,
        headline=f"asked twice{by_chance}, {CANDIDATE} answered differently: {case.differences[0]}",
        repeat=repeat_command(evidence, case.pair.key),
        n=len(case.pair.target.token_ids),
    )


def _summary(workload: str, cases: list[Repeated], failed: list[Finding]) -> Finding:
    only_bits = sum(bool(case.differences) and not case.tokens_differ for case in cases)
    ties = max(0, sum(case.tokens_differ for case in cases) - len(failed))
    same = len(cases) - len(failed) - ties
    headline = f"{same} of {plural(len(cases), 'case')} answered the same twice"
    if ties:
        headline += f", {ties} but for a near tie in other company"
    if only_bits and not failed:
        headline += f" ({only_bits} with other low bits in the scores)"
    return Finding(
        check="determinism",
        subject=workload,
        outcome=worst([finding.outcome for finding in failed] or [Outcome.PASS]),
        reason=Reason.NONDETERMINISTIC if failed else Reason.HELD,
        headline=headline,
        n=len(cases),
    )
