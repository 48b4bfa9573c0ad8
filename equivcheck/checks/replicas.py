"""Gate: each replica of a candidate that is several servers answers the same cases alike.

Every replica gets the cases that are asked again, and its answers are compared with the target's. A
divergence that is proven to be none of arithmetic fails the replica. Without such proof, replicas
are compared with each other: where two are alike, a case on which only one of them parts from the
target is as likely to be the one's as the other's. One that parts too often for that is named; what
it is, another build, other hardware or a fault, is then not known.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from equivcheck.checks.budget import ALPHA, at_least
from equivcheck.checks.near_ties import no_yardstick, untold
from equivcheck.checks.subjects import RUN, plural, repeat_command
from equivcheck.checks.text_alone import weigh
from equivcheck.core.escape import visible
from equivcheck.core.findings import Finding, Outcome, Reason
from equivcheck.records.divergence import join
from equivcheck.records.records import REPLICA, TARGET, Evidence


class Replica(NamedTuple):
    """One replica's answers, by case in the order of the suites."""

    arm: str
    answered: tuple[str, ...]
    parted: dict[str, Outcome]
    """Each case on which it parts from the target, and what that amounts to."""

    def words(self) -> str:
        """How often it parts."""
        return f"{len(self.parted)} of {plural(len(self.answered), 'case')}"


def check(evidence: Evidence) -> list[Finding]:
    """One finding a replica that is not like the target or the others, or one for all."""
    found = [
        _read(evidence, arm)
        for arm in evidence.header.planned
        if arm.startswith(REPLICA) and evidence.captured.get(arm)
    ]
    if not found:
        return []
    named = {
        each.arm: finding for each in found if (finding := _accused(evidence, each, others=found))
    }
    return [*named.values()] or [_alike(found)]


def _read(evidence: Evidence, arm: str) -> Replica:
    told = {(each.key, each.arm): each for each in evidence.arbitrations}
    pairs = join(evidence, arm=arm)
    parted = {}
    for pair in pairs:
        if pair.position is not None:
            weighed = weigh(pair, told.get((pair.key, arm)), evidence.header.settings)
            if pair.token_differs or pair.text_alone:
                weighed = no_yardstick(weighed, arm=untold(evidence))
            parted[pair.key] = weighed.outcome
    return Replica(arm, tuple(pair.key for pair in pairs), parted)


def _accused(evidence: Evidence, replica: Replica, *, others: Sequence[Replica]) -> Finding | None:
    proven = [key for key, outcome in replica.parted.items() if outcome is Outcome.FAIL]
    beside = [each for each in others if each is not replica]
    apart = [other for other in beside if _too_often(replica, other, of=len(others))]
    if not proven and not apart:
        return None
    first = proven[0] if proven else next(iter(replica.parted))
    after = (
        replica.answered.index(first) + 1
        if proven
        else min(_named_after(replica, other, of=len(others)) for other in apart)
    )
    counts = ", ".join(f"{each.arm} on {each.words()}" for each in beside)
    known = "" if proven else "; whether that is a fault is not known"
    server = visible(evidence.header.arms[replica.arm].engine)
    return Finding(
        check="replicas",
        subject=RUN,
        outcome=Outcome.FAIL if proven else Outcome.INCONCLUSIVE,
        reason=Reason.REPLICA_DIFFERS,
        headline=f"{replica.arm} parts from {TARGET} on {replica.words()}, {counts or 'alone'}"
        f"{known}",
        details=(
            f"{replica.arm}: {server}",
            f"known after {plural(after, 'case')} on each replica; first {visible(first)}",
        ),
        repeat=repeat_command(evidence, first),
        n=len(replica.answered),
    )


def _too_often(replica: Replica, other: Replica, *, of: int, first: int | None = None) -> bool:
    """Whether it parts more often than the other on the first cases that both answered.

    McNemar's exact test, at ALPHA over all ordered pairs of so many replicas.
    """
    both = [key for key in replica.answered if key in set(other.answered)][:first]
    only = _only(replica.parted, other.parted, both)
    theirs = _only(other.parted, replica.parted, both)
    return at_least(only, of=only + theirs) <= ALPHA / (of * (of - 1))


def _only(one: Mapping[str, object], other: Mapping[str, object], keys: Collection[str]) -> int:
    return sum(key in one and key not in other for key in keys)


def _named_after(replica: Replica, other: Replica, *, of: int) -> int:
    """The least number of cases behind which the test names it."""
    numbers = range(1, len(replica.answered) + 1)
    return next(first for first in numbers if _too_often(replica, other, of=of, first=first))


def _alike(found: Sequence[Replica]) -> Finding:
    unknown = sum(
        outcome is Outcome.INCONCLUSIVE for each in found for outcome in each.parted.values()
    )
    ties = sum(len(each.parted) for each in found) - unknown
    cases = sum(len(each.answered) for each in found)
    same = cases - ties - unknown
    replicas = plural(len(found), "replica")
    headline = f"{same} of {plural(cases, 'answer')} of {replicas} the target's"
    headline += f", {ties} but for a near tie" if ties else ""
    headline += f", {unknown} parted for a reason not known" if unknown else ""
    return Finding(
        check="replicas",
        subject=RUN,
        outcome=Outcome.INCONCLUSIVE if unknown or not cases else Outcome.PASS,
        reason=(
            Reason.NO_ARBITRATION if unknown else Reason.NUMERICS if ties else Reason.IDENTICAL
        ),
        headline=headline,
        n=cases,
    )
