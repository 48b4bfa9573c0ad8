"""Gate: every arm answered every case it had to. What is missing was not compared.

An interrupted run ends here: unfinished, never a pass. Draws count too: where an engine failed to
give some, those that it gave are a selection.
"""

from __future__ import annotations

from collections.abc import Iterator

from equivcheck.checks.subjects import RUN, plural
from equivcheck.core.escape import visible
from equivcheck.core.findings import Finding, Outcome, Reason
from equivcheck.records.records import CANDIDATE, DRAWING, TARGET, Evidence

SHOWN = 5
"""Missing keys named per arm."""


def check(evidence: Evidence) -> list[Finding]:
    """One finding an arm that lacks answers, and one for the run."""
    planned = {arm: keys for arm, keys in evidence.header.planned.items() if arm not in DRAWING}
    findings = [
        *(
            _missing(evidence, arm, missing, planned=len(keys))
            for arm, keys in planned.items()
            if (missing := [key for key in keys if key not in evidence.captured.get(arm, {})])
        ),
        *_failed_draws(evidence),
    ]
    compared = [
        key
        for key in evidence.captured.get(CANDIDATE, {})
        if key in evidence.captured.get(TARGET, {})
    ]
    if not compared:
        findings.append(
            Finding(
                check="complete",
                subject=RUN,
                outcome=Outcome.INCONCLUSIVE,
                reason=Reason.NOTHING_COMPARED,
                headline=f"nothing was compared: no case was answered by {TARGET} and {CANDIDATE}",
            )
        )
    if not findings:
        answers = sum(len(keys) for keys in planned.values())
        findings.append(
            Finding(
                check="complete",
                subject=RUN,
                outcome=Outcome.PASS,
                reason=Reason.HELD,
                headline=f"all {plural(answers, 'answer')} of {plural(len(planned), 'arm')} are in",
                n=answers,
            )
        )
    return findings


def _failed_draws(evidence: Evidence) -> Iterator[Finding]:
    """One finding an arm whose engine broke on draws and did not give them later."""
    for arm in sorted(DRAWING & evidence.header.planned.keys()):
        drawn = evidence.draws.get(arm, {})
        failed = {each.key: each.message for each in evidence.failures if each.arm == arm}
        lost = [
            f"{visible(key)}: {visible(why)}" for key, why in failed.items() if key not in drawn
        ]
        if lost:
            yield Finding(
                check="complete",
                subject=RUN,
                outcome=Outcome.INCONCLUSIVE,
                reason=Reason.MISSING,
                headline=f"{arm} failed on {len(lost)} of {plural(len(lost) + len(drawn), 'draw')}",
                details=tuple(lost[:SHOWN]),
                n=len(drawn),
            )


def _missing(evidence: Evidence, arm: str, missing: list[str], *, planned: int) -> Finding:
    failures = {each.key: each.message for each in evidence.failures if each.arm == arm}
    why = [f"{visible(key)}: {visible(failures[key])}" for key in missing if key in failures]
    more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
    return Finding(
        check="complete",
        subject=RUN,
        outcome=Outcome.INCONCLUSIVE,
        reason=Reason.MISSING,
        headline=f"{arm} answered {planned - len(missing)} of {plural(planned, 'case')}",
        details=(f"missing: {', '.join(map(visible, missing[:SHOWN]))}{more}", *why[:SHOWN]),
        n=planned - len(missing),
    )
