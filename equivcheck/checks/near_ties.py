"""Decide whether a greedy divergence is a near tie that arithmetic alone can flip, or a real one.

The yardstick. Logits computed in a dtype with ``m`` mantissa bits are spaced ``2**(e - m)`` apart
where their magnitude lies in ``[2**e, 2**(e+1))``: one ulp there (bfloat16, m = 7, has 0.125 in
[16, 32)). Two tokens' log-probabilities lose the same normaliser, so at temperature 0 their
difference is the difference of their logits, and ulps of the logits are nats.
`Settings.near_tie_ulps` of them are the most that is excused.

What is excused. Everything has to hold at once: the reference puts the two tokens within the limit;
each arm chose what its own scores call best, and not by more than the limit; and no token of either
arm's whole output lies further under the reference's best than the limit at its place. So a bug
that hides behind one near tie shows at the next token. How often is `budget.py`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from equivcheck.core.engine import UNTOLD
from equivcheck.core.findings import Outcome, Reason
from equivcheck.core.generation import TokenScore
from equivcheck.core.settings import Dtype, Settings
from equivcheck.records.divergence import Pair
from equivcheck.records.records import CANDIDATE, TARGET, Arbitration, Evidence, Gap

_MANTISSA_BITS: dict[Dtype, int] = {"float32": 23, "bfloat16": 7, "float16": 10}
_LEAST_EXPONENT: dict[Dtype, int] = {"float32": -126, "bfloat16": -126, "float16": -14}

OWN_SCORE_SLACK = 1e-5
"""Nats by which an engine's reported scores may be rounded: a log-softmax in fp32 near 20 nats."""


class Weighed(NamedTuple):
    """What one diverging case amounts to."""

    outcome: Outcome
    reason: Reason
    because: str
    """The deciding fact, half a sentence."""


def untold(evidence: Evidence) -> str | None:
    """The first arm whose engine does not say in which numbers it computes; None: both do.

    Where one does not, there is no yardstick: a gap of any width may be arithmetic.
    """
    arms = evidence.header.arms
    told = ((arm, arms[arm].dtype) for arm in (CANDIDATE, TARGET) if arm in arms)
    return next((arm for arm, dtype in told if dtype == UNTOLD), None)


def no_yardstick(weighed: Weighed, *, arm: str | None) -> Weighed:
    """What a divergence of tokens amounts to where an arm (None: none) tells no dtype."""
    if arm is None or weighed.outcome is not Outcome.FAIL:
        return weighed
    return _unknown(f"{arm} does not say in which dtype it computes; {weighed.because}")


def ulp(dtype: Dtype, magnitude: float) -> float:
    """Spacing of the dtype's numbers at ``magnitude``, in the unit of ``magnitude``."""
    exponent = math.frexp(abs(magnitude))[1] - 1 if magnitude else _LEAST_EXPONENT[dtype]
    return math.ldexp(1.0, max(exponent, _LEAST_EXPONENT[dtype]) - _MANTISSA_BITS[dtype])


def limit_at(magnitude: float, settings: Settings) -> float:
    """The widest gap, in nats, that is a near tie between logits of this magnitude."""
    return settings.near_tie_ulps * ulp(settings.setup.dtype, magnitude)


def weigh(pair: Pair, arbitration: Arbitration | None, settings: Settings) -> Weighed:
    """Classify a diverging greedy case: numerics, diverged, or not known."""
    if not pair.token_differs or pair.position is None:
        return _diverged(ended_differently(pair))
    if own := _worse_in_own_scores(pair):
        return _diverged(own)
    if arbitration is None or arbitration.position != pair.position:
        return _unknown("no independent pass has scored the two tokens")
    if missing := _missing(pair, arbitration):
        return _unknown(f"the independent pass is incomplete: {missing}")
    assert arbitration.target_logprob is not None
    assert arbitration.arm_logprob is not None
    assert arbitration.magnitude is not None
    limit = limit_at(arbitration.magnitude, settings)
    gap = abs(arbitration.target_logprob - arbitration.arm_logprob)
    if gap > limit:
        return _diverged(
            f"the reference puts the two tokens {gap:.3g} nats apart, {limit:.3g} allowed"
        )
    if wide := _wide_own_margin(pair, limit):
        return _diverged(wide)
    for arm, gaps in ((pair.arm, arbitration.arm_gaps), (pair.base, arbitration.target_gaps)):
        if (worst := first_beyond(gaps, settings)) is not None:
            return _diverged(
                f"{arm}'s token {worst} lies {gaps[worst].gap:.3g} nats under the reference's best"
            )
    return Weighed(
        Outcome.PASS,
        Reason.NUMERICS,
        f"a near tie: {gap:.3g} nats apart in the reference, {limit:.3g} allowed",
    )


def ended_differently(pair: Pair) -> str:
    """Say which arm stopped where; for a divergence that is not one of tokens."""
    return (
        f"{pair.base} ended with {pair.target.finish_reason!r} after "
        f"{len(pair.target.token_ids)} tokens, {pair.arm} with {pair.other.finish_reason!r} after "
        f"{len(pair.other.token_ids)}"
    )


def own_score(pair: Pair, *, of: str) -> TokenScore | None:
    """What arm ``of`` reported for its token at the divergence, where it reports scores."""
    generation = pair.target if of == pair.base else pair.other
    if generation.scores is None or pair.position is None:
        return None
    # An engine may give more scores than tokens: that is `logprobs`' to find.
    known = pair.position < min(len(generation.scores), len(generation.token_ids))
    return generation.scores[pair.position] if known else None


def first_beyond(gaps: tuple[Gap, ...], settings: Settings) -> int | None:
    """The first token that lies further under the reference's best than arithmetic explains."""
    for index, gap in enumerate(gaps):
        known = gap.gap > 0 and gap.magnitude is not None
        if known and gap.gap > limit_at(gap.magnitude or 0.0, settings):
            return index
    return None


def _worse_in_own_scores(pair: Pair) -> str | None:
    for arm in (pair.arm, pair.base):
        score = own_score(pair, of=arm)
        if score and score.logprob < score.rival_logprob - OWN_SCORE_SLACK:
            below = score.rival_logprob - score.logprob
            return f"{arm} chose a token {below:.3g} nats below the best of its own scores"
    return None


def _wide_own_margin(pair: Pair, limit: float) -> str | None:
    """An arm that was sure by more than the limit did not flip on a near tie."""
    for arm in (pair.arm, pair.base):
        score = own_score(pair, of=arm)
        if score and score.logprob - score.rival_logprob > limit:
            margin = score.logprob - score.rival_logprob
            return f"no tie in {arm}'s own scores: {margin:.3g} nats ahead, {limit:.3g} allowed"
    return None


def _missing(pair: Pair, arbitration: Arbitration) -> str | None:
    if arbitration.target_logprob is None or arbitration.arm_logprob is None:
        return "a token's log-probability is missing"
    if arbitration.magnitude is None:
        return "the logits' magnitude is missing"
    for arm, gaps, generation in (
        (pair.arm, arbitration.arm_gaps, pair.other),
        (pair.base, arbitration.target_gaps, pair.target),
    ):
        if len(gaps) != len(generation.token_ids):
            return f"{len(gaps)} of {arm}'s {len(generation.token_ids)} tokens have a gap"
        if any(gap.gap > 0 and gap.magnitude is None for gap in gaps):
            return f"the magnitude behind a gap of {arm}'s is missing"
    return None


def _diverged(because: str) -> Weighed:
    return Weighed(Outcome.FAIL, Reason.DIVERGED, because)


def _unknown(because: str) -> Weighed:
    return Weighed(Outcome.INCONCLUSIVE, Reason.NO_ARBITRATION, because)
