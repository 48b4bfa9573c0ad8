"""What is said of a candidate that is lossy by a setting: how far it is off, and nothing else.

Such an engine claims neither the target's tokens nor its distribution, so that checks of these have
nothing to judge. What stands in their place: how much probability its tokens moved, measured where
they were scored, beside the graded answers. It is never a pass, and never an accusation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from equivcheck.checks.near_ties import limit_at
from equivcheck.checks.subjects import RUN, plural
from equivcheck.core.escape import visible
from equivcheck.core.findings import Finding, Interval, Outcome, Reason
from equivcheck.records.divergence import join
from equivcheck.records.lossy import lossy_by
from equivcheck.records.records import CANDIDATE, SAMPLED, Evidence
from equivcheck.statistics.ratios import LEVEL

NAME = "lossy"
CLAIMS = frozenset(
    {
        "greedy",
        "coupled",
        "sampled",
        "replayed",
        "sessions",
        "schedules",
        "determinism",
        "batching",
        "logprobs",
    }
)
"""Checks of the same tokens or the same distribution; a verifier that draws coins gives no request
the same answer twice, either, and a greedy token may lie below its rival."""


def instead(evidence: Evidence, findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """The findings, without those about claims that a lossy candidate does not make."""
    if not (settings := lossy_by(evidence.header)):
        return tuple(findings)
    kept = [finding for finding in findings if finding.check not in CLAIMS]
    return (_finding(evidence, settings), *kept)


def _finding(evidence: Evidence, settings: Sequence[str]) -> Finding:
    named = visible(", ".join(settings))
    told = f"lossy by setting {named}: neither identity nor the distribution is claimed"
    found = Finding(
        check=NAME,
        subject=RUN,
        outcome=Outcome.INCONCLUSIVE,
        reason=Reason.LOSSY_SETTING,
        headline=f"{told}; how far it is off was not measured: nothing was drawn and scored",
        details=_greedy(evidence),
    )
    # Loads numpy, as all of `statistics` does.
    from equivcheck.statistics.excess import total_variation

    scores = evidence.scores if evidence.draws.get(SAMPLED) else None
    if scores is None or not (measured := total_variation(scores, level=1.0 - LEVEL)).tokens:
        return found
    interval = Interval(low=measured.low, high=measured.high)
    return Finding(
        check=NAME,
        subject=RUN,
        outcome=Outcome.INCONCLUSIVE,
        reason=Reason.LOSSY_SETTING,
        headline=f"{told}; total variation a token {measured.estimate:.3f} "
        f"[{interval.low:.3f}, {interval.high:.3f}] in {plural(measured.tokens, 'token')}",
        details=(
            *_greedy(evidence),
            "total variation between bins of ln(q/p) and p, along the candidate's own texts, 95 %: "
            "what moves within a bin is not seen, and adds to it",
        ),
        estimate=measured.estimate,
        interval=interval,
        n=measured.tokens,
    )


def _greedy(evidence: Evidence) -> tuple[str, ...]:
    """How many greedy tokens are not the target's best behind their own text, near ties apart."""
    settings = evidence.header.settings
    gaps = {found.key: found.arm_gaps for found in evidence.arbitrations if found.arm == CANDIDATE}
    tokens = off = prompts = same = 0
    for pair in join(evidence, arm=CANDIDATE):
        if not evidence.asked[pair.key].request.sampling.greedy:
            continue
        # An answer that parts and was not scored says nothing of how often.
        if pair.position is not None and pair.key not in gaps:
            continue
        prompts, same = prompts + 1, same + (pair.position is None)
        tokens += len(pair.other.token_ids)
        off += sum(
            each.gap > limit_at(each.magnitude or 0.0, settings)
            for each in gaps.get(pair.key, ())
            if math.isfinite(each.gap)
        )
    if not prompts:
        return ()
    return (
        f"greedy: {same} of {plural(prompts, 'prompt')} identical, and {off:,} of "
        f"{plural(tokens, 'token')} ({off / max(tokens, 1):.1%}) are not the target's best behind "
        f"their own text",
    )
