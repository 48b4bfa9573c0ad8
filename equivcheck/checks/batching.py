"""Gate: an answer does not depend on its neighbours in the batch, or on requests served before.

Under an identity contract any difference is a failure. Without one, other neighbours mean other
kernel shapes, so answers may part at near ties: each has to be shown to be one, and all together
are compared with the control arm's rate. Draws that part behind other drafts are not judged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from equivcheck.checks.budget import ALPHA, compare
from equivcheck.checks.company_words import seat_words
from equivcheck.checks.near_ties import untold
from equivcheck.checks.other_drafts import drafted_otherwise
from equivcheck.checks.repeats import Repeated, repeats
from equivcheck.checks.subjects import RUN, plural, repeat_command
from equivcheck.checks.text_alone import weigh
from equivcheck.core.escape import visible
from equivcheck.core.findings import Finding, Outcome, Reason
from equivcheck.records.company import Seat, seats_of
from equivcheck.records.divergence import Pair, join
from equivcheck.records.records import CANDIDATE, CONTROL, SHUFFLED, Evidence, by_workload

MOST_SHOWN = 5
"""Cases whose rows and neighbours are told where one finding is about all."""


def check(evidence: Evidence) -> list[Finding]:
    """Under a contract one finding a differing case and one a workload; else one for the run."""
    cases = [
        case
        for case in repeats(evidence, arm=SHUFFLED)
        if not drafted_otherwise(evidence, case.pair)
    ]
    if not cases:
        return []
    if evidence.header.arms[CANDIDATE].identity:
        return _strict(evidence, cases)
    return [_against_control(evidence, cases)]


def _strict(evidence: Evidence, cases: list[Repeated]) -> list[Finding]:
    before, then = seats_of(evidence, CANDIDATE), seats_of(evidence, SHUFFLED)
    findings = [
        Finding(
            check="batching",
            subject=case.pair.key,
            outcome=Outcome.FAIL,
            reason=Reason.BATCH_DEPENDENT,
            headline=f"with other neighbours {CANDIDATE} answers differently: "
            f"{case.differences[0]}",
            details=tuple(_seats(case.pair.key, before=before, then=then)),
            repeat=repeat_command(evidence, case.pair.key),
            n=len(case.pair.target.token_ids),
        )
        for case in cases
        if case.differences
    ]
    for workload, found in by_workload(evidence, cases, key=lambda case: case.pair.key).items():
        same = sum(not case.differences for case in found)
        findings.append(
            Finding(
                check="batching",
                subject=workload,
                outcome=Outcome.PASS if same == len(found) else Outcome.FAIL,
                reason=Reason.HELD if same == len(found) else Reason.BATCH_DEPENDENT,
                headline=f"{same} of {plural(len(found), 'case')} the same with other neighbours",
                n=len(found),
            )
        )
    return findings


def _seats(key: str, *, before: Mapping[str, Seat], then: Mapping[str, Seat]) -> Iterator[str]:
    """Where the case was decoded both times, as far as that is known."""
    for when, seats in (("at first", before), ("then", then)):
        if key in seats and (words := seat_words(seats[key])):
            yield f"{when} in {words}" if seats[key].row is not None else f"{when} {words}"


def _against_control(evidence: Evidence, cases: list[Repeated]) -> Finding:
    parted = {case.pair.key for case in cases if case.tokens_differ}
    same = (
        f"{len(cases) - len(parted)} of {plural(len(cases), 'case')} the same with other neighbours"
    )
    if not parted:
        return _finding(Outcome.PASS, Reason.HELD, same, n=len(cases))
    control = {pair.key: pair.position is not None for pair in join(evidence, arm=CONTROL)}
    held = {case.pair.key for case in cases} & set(control)
    flips = {key for key, differs in control.items() if differs}
    result = compare(cases=held, candidate=parted, control=flips)
    rate = f"{CONTROL} parts on {result.control} of {result.cases}, p = {result.p_value:.2g}"
    unexplained = parted - explained(evidence, arm=SHUFFLED)
    if result.p_value <= ALPHA:
        outcome = Outcome.INCONCLUSIVE if untold(evidence) else Outcome.FAIL
        reason = Reason.BATCH_DEPENDENT
        words = f"more often than arithmetic explains ({rate})"
    elif unexplained:
        outcome, reason = Outcome.INCONCLUSIVE, Reason.NO_ARBITRATION
        words = f"{plural(len(unexplained), 'case')} not shown to be near ties ({rate})"
    elif not parted <= held:
        outcome, reason = Outcome.INCONCLUSIVE, Reason.NOT_COMPARABLE
        words = f"no {CONTROL} arm to show how often arithmetic does this"
    else:
        outcome, reason = Outcome.PASS, Reason.NUMERICS
        words = f"the others are near ties ({rate})"
    return _finding(
        outcome, reason, f"{same}: {words}", n=len(cases), details=_parted(evidence, cases)
    )


def _parted(evidence: Evidence, cases: list[Repeated]) -> tuple[str, ...]:
    """Where the first cases part, and where each was decoded."""
    before, then = seats_of(evidence, CANDIDATE), seats_of(evidence, SHUFFLED)
    parted = [case for case in cases if case.tokens_differ]
    lines: list[str] = []
    for case in parted[:MOST_SHOWN]:
        lines.append(f"{visible(case.pair.key)}: {case.differences[0]}")
        lines += _seats(case.pair.key, before=before, then=then)
    if len(parted) > MOST_SHOWN:
        lines.append(f"and {plural(len(parted) - MOST_SHOWN, 'case')} more")
    return tuple(lines)


def explained(evidence: Evidence, *, arm: str) -> set[str]:
    """Cases on which candidate and ``arm`` equal the target or leave it at a proven near tie."""
    arbitrations = {(found.key, found.arm): found for found in evidence.arbitrations}

    def at_most_a_tie(pair: Pair) -> bool:
        if pair.position is None:
            return True
        greedy = evidence.asked[pair.key].request.sampling.greedy
        found = arbitrations.get((pair.key, pair.arm))
        weighed = weigh(pair, found, evidence.header.settings)
        return greedy and weighed.reason is Reason.NUMERICS

    ties = [
        {pair.key for pair in join(evidence, arm=each) if at_most_a_tie(pair)}
        for each in (CANDIDATE, arm)
    ]
    return set.intersection(*ties)


def _finding(
    outcome: Outcome, reason: Reason, headline: str, *, n: int, details: tuple[str, ...] = ()
) -> Finding:
    return Finding(
        check="batching",
        subject=RUN,
        outcome=outcome,
        reason=reason,
        headline=headline,
        details=details,
        n=n,
    )
