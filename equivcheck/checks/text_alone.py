"""Judge answers of which only the text is known, by nothing but what their text says.

Different tokens can give the same text. So a token under the reference's best proves nothing: it
may never have been emitted. Proof is a text that continues with no token which arithmetic could
have chosen, behind a prefix whose tokens are certain.
"""

from __future__ import annotations

from equivcheck.checks import near_ties
from equivcheck.checks.near_ties import Weighed, limit_at
from equivcheck.core.findings import Outcome, Reason
from equivcheck.core.settings import Settings
from equivcheck.records.divergence import Pair
from equivcheck.records.records import Arbitration, Gap

NOT_JUDGED = "answers are text alone"
"""Why a check that needs token ids leaves an answer out."""


def weigh(pair: Pair, arbitration: Arbitration | None, settings: Settings) -> Weighed:
    """Classify a diverging greedy case: numerics, diverged, or not known."""
    found = near_ties.weigh(pair, arbitration, settings)
    if not pair.text_alone or found.reason is not Reason.DIVERGED:
        # A near tie stays one: all that each arm's text needs is tokens within the limit.
        return found
    why = "their tokens are not known"
    if arbitration is not None and arbitration.position == pair.position:
        if because := _impossible(pair, arbitration, settings):
            return Weighed(Outcome.FAIL, Reason.DIVERGED, because)
        why = "other tokens may give the same text"
    because = f"{NOT_JUDGED}, and {why}; {found.because}"
    return Weighed(Outcome.INCONCLUSIVE, Reason.NO_ARBITRATION, because)


def _impossible(pair: Pair, arbitration: Arbitration, settings: Settings) -> str | None:
    """Why no plain decoding by the reference's weights gives the arm's text; None: one may.

    Up to where the texts part both have the same tokens for certain: each is within the limit, and
    no other token could continue either text. Then the target's text continues with a
    token within the limit, and the arm's with none.
    """
    gaps, position = arbitration.text, pair.position
    if gaps is None or position is None:
        return None
    prefix = arbitration.target_gaps[:position]
    if not len(prefix) == len(gaps.others) == position:
        return None
    certain = (
        _within(gap, settings) and _beyond(other, settings)
        for gap, other in zip(prefix, gaps.others, strict=True)
    )
    if not (all(certain) and _within(gaps.target, settings) and _beyond(gaps.arm, settings)):
        return None
    return (
        f"with no token less than {gaps.arm.gap:.3g} nats under the reference's best does the text "
        f"of {pair.arm} continue, {limit_at(gaps.arm.magnitude or 0.0, settings):.3g} allowed"
    )


def _within(gap: Gap, settings: Settings) -> bool:
    return gap.gap == 0 or (
        gap.magnitude is not None and gap.gap <= limit_at(gap.magnitude, settings)
    )


def _beyond(gap: Gap, settings: Settings) -> bool:
    return gap.magnitude is not None and gap.gap > limit_at(gap.magnitude, settings)
