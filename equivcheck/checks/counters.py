"""Gate: an arm's counters of drafted, accepted and emitted tokens add up to what it emitted.

Rates derived from counters that break these identities mean nothing, however plausible they look.
"""

from __future__ import annotations

from collections.abc import Iterator

from equivcheck.checks.subjects import by_workload, plural, repeat_command
from equivcheck.engines.protocol import Capabilities
from equivcheck.findings import Finding, Outcome, Reason
from equivcheck.generation import Generation
from equivcheck.records import Evidence


def check(evidence: Evidence) -> list[Finding]:
    """One finding for each output whose counters contradict it, then one a workload."""
    outputs = [
        (key, arm, captured[key].generation)
        for arm, captured in evidence.captured.items()
        for key in evidence.asked
        if key in captured
        and (captured[key].generation.steps or evidence.header.arms[arm].reports_steps)
    ]
    findings: list[Finding] = []
    for key, arm, generation in outputs:
        faults = list(faults_of(generation, evidence.header.arms[arm]))
        if faults:
            findings.append(
                Finding(
                    check="counters",
                    subject=key,
                    outcome=Outcome.FAIL,
                    reason=Reason.COUNTERS,
                    headline=f"{arm}: {faults[0]}",
                    details=tuple(faults[:5]) if len(faults) > 1 else (),
                    repeat=repeat_command(evidence, key),
                    n=len(generation.steps),
                )
            )
    bad = {finding.subject for finding in findings}
    for workload, held in by_workload(evidence, outputs, key=lambda output: output[0]).items():
        broken = sum(key in bad for key in {key for key, _, _ in held})
        steps = sum(len(generation.steps) for _, _, generation in held)
        findings.append(
            Finding(
                check="counters",
                subject=workload,
                outcome=Outcome.FAIL if broken else Outcome.PASS,
                reason=Reason.COUNTERS if broken else Reason.HELD,
                headline=f"counters contradict the output on {plural(broken, 'case')}"
                if broken
                else f"counters add up on {plural(len(held), 'output')} ({plural(steps, 'step')})",
                n=steps,
            )
        )
    return findings


def faults_of(generation: Generation, capabilities: Capabilities) -> Iterator[str]:
    """Every identity that one output's counters break."""
    length = len(generation.token_ids)
    if not generation.steps:
        yield f"reports steps, but gave none for {plural(length, 'token')}"
        return
    most = capabilities.num_speculative_tokens
    for index, step in enumerate(generation.steps):
        if not 0 <= step.accepted <= step.drafted:
            yield f"step {index}: accepted {step.accepted} of {step.drafted} drafted"
        if capabilities.reports_rejected and (step.rejected is None) is (
            step.accepted < step.drafted
        ):
            named = "no draft" if step.rejected is None else f"draft token {step.rejected}"
            yield (
                f"step {index}: names {named} as rejected, "
                f"accepted {step.accepted} of {step.drafted}"
            )
        if step.drafted > most:
            yield f"step {index}: drafted {step.drafted}, at most {most} announced"
        if not 1 <= step.emitted <= step.accepted + 1:
            yield f"step {index}: emitted {step.emitted} with {step.accepted} accepted"
        elif step.emitted < step.accepted + 1 and index < len(generation.steps) - 1:
            yield (
                f"step {index}: emitted {step.emitted} of {step.accepted + 1}, "
                "though only the last step may be cut"
            )
    emitted = sum(step.emitted for step in generation.steps)
    if emitted != length:
        yield f"steps emitted {plural(emitted, 'token')}, the output has {length}"
