"""Gate: sampled cases agree token by token, where both arms draw with the same noise.

Of engines that give text alone, the texts have to agree.

With noise keyed by request and position (the `coupled` rule), the token is the argmax of the
scores plus noise, so a near tie is one of noisy scores. An arbitration records the plain ones and
says nothing of it: without a shared contract a difference is neither excused nor proof of a bug,
but compared with the control's rate. Under the rejection rule token identity is not the claim.
"""

from __future__ import annotations

from collections import Counter

from equivcheck.checks.identity import hold
from equivcheck.checks.near_ties import Weighed, ended_differently
from equivcheck.checks.subjects import plural
from equivcheck.core.findings import Finding, Outcome, Reason
from equivcheck.core.settings import Settings
from equivcheck.records.divergence import Pair, identity_is_claimed
from equivcheck.records.records import CANDIDATE, SAMPLED, TARGET, Arbitration, Evidence


def check(evidence: Evidence) -> list[Finding]:
    """Hold sampled cases to token identity, or say by workload why they cannot be.

    Where identity is no claim, cases that are drawn are left to the check of their distribution.
    """
    keys = [key for key, asked in evidence.asked.items() if not asked.request.sampling.greedy]
    if not keys:
        return []
    if identity_is_claimed(evidence):
        return hold(evidence, check="coupled", keys=keys, weigh=weigh)
    drawn = evidence.header.planned.get(SAMPLED, ())
    cases = Counter(evidence.asked[key].workload for key in keys if key not in drawn)
    return [
        Finding(
            check="coupled",
            subject=workload,
            outcome=Outcome.INCONCLUSIVE,
            reason=Reason.NOT_COMPARABLE,
            headline=f"{plural(count, 'sampled case')} cannot be compared token by token: "
            f"{_rules(evidence)}; only a test of the distribution can judge them",
            n=count,
        )
        for workload, count in cases.items()
    ]


def weigh(pair: Pair, arbitration: Arbitration | None, settings: Settings) -> Weighed:
    """Ending differently on the same tokens is a bug; another token is not known to be one."""
    if not pair.token_differs and not pair.text_alone:
        return Weighed(Outcome.FAIL, Reason.DIVERGED, ended_differently(pair))
    because = "the arms share noise but no identity contract, and noisy scores are not arbitrated"
    return Weighed(Outcome.INCONCLUSIVE, Reason.NO_ARBITRATION, because)


def _rules(evidence: Evidence) -> str:
    arms = evidence.header.arms
    return ", ".join(
        f"{arm} draws by {arms[arm].rule}" for arm in (TARGET, CANDIDATE) if arm in arms
    )
