"""Gate: speculation really ran. What was never drafted, accepted or rejected was never tested.

A pass in which nothing was speculated would be vacuous, so too little is inconclusive.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from equivcheck.checks.subjects import RUN, by_workload, plural
from equivcheck.findings import Finding, Outcome, Reason
from equivcheck.generation import Generation, Step
from equivcheck.records import CANDIDATE, Evidence


def check(evidence: Evidence) -> list[Finding]:
    """One finding a workload, one for the run, which also has to have reached every draft slot."""
    captured = evidence.captured.get(CANDIDATE, {})
    answers = [captured[key].generation for key in evidence.asked if key in captured]
    if not answers:
        return []
    gamma = evidence.header.arms[CANDIDATE].num_speculative_tokens
    if gamma == 0:
        return [_finding(RUN, [f"{CANDIDATE} announces 0 speculative tokens"], ())]
    gathered = by_workload(evidence, answers, key=lambda answer: answer.key)
    return [
        *(
            _finding(workload, _never(steps := _steps(found)), steps)
            for workload, found in gathered.items()
        ),
        _finding(RUN, [*_never(steps := _steps(answers)), *_unreached(steps, gamma)], steps),
    ]


def _steps(answers: Iterable[Generation]) -> tuple[Step, ...]:
    return tuple(step for answer in answers for step in answer.steps)


def _never(steps: Sequence[Step]) -> list[str]:
    """What has to have happened at least once, and has not."""
    if not steps:
        return ["no verify steps were reported"]
    if not any(step.drafted for step in steps):
        return ["nothing was drafted"]
    never = []
    if not any(step.accepted for step in steps):
        never.append("no draft token was ever accepted")
    if not any(step.accepted < step.drafted for step in steps):
        never.append("no draft token was ever rejected")
    return never


def _unreached(steps: Sequence[Step], gamma: int) -> list[str]:
    """Draft slots that no step filled, and the bonus token where no step accepted all."""
    drafted = max((step.drafted for step in steps), default=0)
    if drafted == 0:
        return []
    missing = []
    if drafted < gamma:
        slots = f"slot {drafted}" if drafted == gamma - 1 else f"slots {drafted} to {gamma - 1}"
        missing.append(f"draft {slots} never used")
    if not any(0 < step.drafted == step.accepted for step in steps):
        missing.append("no step accepted all of its drafts")
    return missing


def _finding(subject: str, missing: list[str], steps: Sequence[Step]) -> Finding:
    drafted = sum(step.drafted for step in steps)
    accepted = sum(step.accepted for step in steps)
    counts = f"{accepted:,} of {plural(drafted, 'draft token')} accepted"
    seen = sorted({step.accepted for step in steps if step.drafted})
    return Finding(
        check="engaged",
        subject=subject,
        outcome=Outcome.INCONCLUSIVE if missing else Outcome.PASS,
        reason=Reason.NOT_ENGAGED if missing else Reason.ENGAGED,
        headline=f"speculation was not put to the test: {', '.join(missing)}"
        if missing
        else f"speculation ran: {counts} in {plural(len(steps), 'step')}",
        details=(f"accepted lengths seen: {', '.join(map(str, seen))}",) if seen else (),
        n=len(steps),
    )
