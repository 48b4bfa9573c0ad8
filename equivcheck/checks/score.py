"""Gate: speculation does not change how many answers are right, where answers are graded.

Where both arms claim the same tokens, a grade may only differ where the token gates excuse the
difference of the answers. Sampled answers that are drawn independently are held to each other as
shares, paired by prompt: proof of a loss fails, and so few prompts prove no more; whether the
distribution is the target's is for the test of the distribution. Nothing graded: nothing said.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from equivcheck.checks import coupled, greedy
from equivcheck.checks.budget import ALPHA
from equivcheck.checks.paired import Shares, interval_of
from equivcheck.checks.subjects import RUN, plural, repeat_command
from equivcheck.core.escape import head
from equivcheck.core.findings import Finding, Outcome, Reason
from equivcheck.records.divergence import identity_is_claimed
from equivcheck.records.lossy import lossy_by
from equivcheck.records.records import CANDIDATE, TARGET, Evidence, Grade, by_workload

WHY_CELLS = 160


class GradedCase(NamedTuple):
    """One case, graded on both arms."""

    key: str
    target: Grade
    candidate: Grade

    @property
    def differs(self) -> bool:
        """Whether only one of the two is right."""
        return self.target.right != self.candidate.right


def check(evidence: Evidence) -> list[Finding]:
    """One finding a case whose grades differ, one a graded workload, one for all sampled ones."""
    cases = graded(evidence)
    same_tokens, off = identity_is_claimed(evidence), bool(lossy_by(evidence.header))
    claimed: list[GradedCase] = []
    drawn: list[GradedCase] = []
    for case in cases:
        greedy_case = evidence.asked[case.key].request.sampling.greedy
        (claimed if (same_tokens or greedy_case) and not off else drawn).append(case)
    differing = {
        finding.subject: finding
        for finding in _differing(evidence, [case for case in claimed if case.differs])
    }
    return [
        *differing.values(),
        *(
            _summary(workload, found, differing=differing)
            for workload, found in by_workload(evidence, claimed, key=_key).items()
        ),
        *([_shares(evidence, drawn)] if drawn else ()),
        *_broken(evidence),
    ]


def graded(evidence: Evidence) -> list[GradedCase]:
    """Every case that has a grade on both arms, in the order of the suites."""
    grades = {(grade.key, grade.arm): grade for grade in evidence.grades if grade.right is not None}
    return [
        GradedCase(key, grades[key, TARGET], grades[key, CANDIDATE])
        for key in evidence.asked
        if (key, TARGET) in grades and (key, CANDIDATE) in grades
    ]


def _key(case: GradedCase) -> str:
    return case.key


def _differing(evidence: Evidence, cases: Sequence[GradedCase]) -> Iterator[Finding]:
    if not cases:
        return
    answers = {
        finding.subject: finding for finding in (*greedy.check(evidence), *coupled.check(evidence))
    }
    for case in cases:
        answer = answers[case.key]
        if answer.reason is Reason.IDENTICAL:
            outcome, reason = Outcome.INCONCLUSIVE, Reason.NOT_GRADED
            words = "the same tokens are graded differently: the grader is not reliable"
        else:
            outcome, reason = answer.outcome, _REASONS[answer.outcome]
            words = f"{CANDIDATE} is {_word(case.candidate)} where {TARGET} is {_word(case.target)}"
        yield Finding(
            check="score",
            subject=case.key,
            outcome=outcome,
            reason=reason,
            headline=words,
            details=tuple(
                f"{grade.arm}: {head(grade.why, cells=WHY_CELLS)}"
                for grade in (case.target, case.candidate)
            ),
            repeat=repeat_command(evidence, case.key),
            n=1,
        )


_REASONS = {
    Outcome.FAIL: Reason.SCORE_DIFFERS,
    Outcome.INCONCLUSIVE: Reason.NO_ARBITRATION,
    Outcome.PASS: Reason.NUMERICS,
}


def _summary(
    workload: str, cases: Sequence[GradedCase], *, differing: dict[str, Finding]
) -> Finding:
    found = [differing[case.key] for case in cases if case.differs]
    same = len(cases) - len(found)
    right = sum(case.target.right is True for case in cases)
    excused = sum(finding.outcome is Outcome.PASS for finding in found)
    gravest = max(found, key=lambda finding: finding.outcome.severity, default=None)
    words = f"graded the same on {same} of {plural(len(cases), 'case')} ({TARGET} right on {right})"
    return Finding(
        check="score",
        subject=workload,
        outcome=gravest.outcome if gravest else Outcome.PASS,
        reason=gravest.reason if gravest else Reason.HELD,
        headline=words + (f", {plural(excused, 'difference')} after a near tie" if excused else ""),
        estimate=same / len(cases),
        n=len(cases),
    )


def _shares(evidence: Evidence, cases: Sequence[GradedCase]) -> Finding:
    shares = Shares(
        prompts=len(cases),
        candidate_only=sum(case.differs and case.candidate.right is True for case in cases),
        target_only=sum(case.differs and case.target.right is True for case in cases),
    )
    interval = interval_of(shares)
    margin = evidence.header.settings.score_margin
    ours, theirs = (
        sum(grade.right is True for grade in grades)
        for grades in ([c.candidate for c in cases], [c.target for c in cases])
    )
    told = (
        f"sampled answers: {CANDIDATE} right on {ours} of {plural(len(cases), 'prompt')}, {TARGET} "
        f"on {theirs}, difference {shares.difference:+.2f} "
        f"[{interval.low:+.2f}, {interval.high:+.2f}] (95 %, paired by prompt)"
    )
    if shares.p_value <= ALPHA:
        outcome, reason = Outcome.FAIL, Reason.SCORE_DIFFERS
        told += f", p = {shares.p_value:.2g}, fails at {ALPHA:.2g}"
    elif margin is not None and interval.low < -margin:
        outcome, reason = Outcome.INCONCLUSIVE, Reason.UNDERPOWERED
        told += f": a loss of more than {margin:g} is not excluded"
    else:
        outcome, reason = Outcome.PASS, Reason.HELD
    return Finding(
        check="score",
        subject=RUN,
        outcome=outcome,
        reason=reason,
        headline=told,
        estimate=shares.difference,
        interval=interval,
        limit=None if margin is None else -margin,
        n=len(cases),
    )


def _broken(evidence: Evidence) -> Iterator[Finding]:
    broken = [grade for grade in evidence.grades if grade.result == "broken"]
    for workload, grades in by_workload(evidence, broken, key=lambda grade: grade.key).items():
        cases = {grade.key for grade in grades}
        yield Finding(
            check="score",
            subject=workload,
            outcome=Outcome.INCONCLUSIVE,
            reason=Reason.NOT_GRADED,
            headline=f"{plural(len(cases), 'case')} could not be graded",
            details=tuple(
                dict.fromkeys(
                    f"{grade.key}: {head(grade.why, cells=WHY_CELLS)}" for grade in grades
                )
            )[:5],
            n=len(cases),
        )


def _word(grade: Grade) -> str:
    return "right" if grade.right else "wrong"
