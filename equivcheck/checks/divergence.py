"""The evidence of one divergence, in lines fit for a terminal: what, where, how close, who says so.

Positions, steps and slots count from 0. Text is escaped and bounded here, once, for every face.
"""

from __future__ import annotations

from collections.abc import Iterator

from equivcheck.checks.near_ties import ended_differently, own_score, ulp
from equivcheck.checks.subjects import at_token
from equivcheck.core.escape import harmless, head, tail
from equivcheck.core.settings import Settings
from equivcheck.records.divergence import Pair, StepSlot
from equivcheck.records.records import Arbitration, Evidence

CONTEXT_CELLS = 48
PIECE_CELLS = 24
_ROLES = {
    "draft": "an accepted draft",
    "correction": "the correction of a rejected draft",
    "bonus": "the bonus token",
    "plain": "a step without drafts",
}


def describe(
    evidence: Evidence, pair: Pair, arbitration: Arbitration | None, *, because: str
) -> tuple[str, ...]:
    """The lines under a divergence's headline; at most 13, wrapped by whoever shows them."""
    if arbitration is not None and arbitration.position != pair.position:
        arbitration = None
    lines = [
        *_in_context(evidence, pair, arbitration),
        *_where(evidence, pair),
        *_own_scores(pair, arbitration, evidence.header.settings),
        *_reference(pair, arbitration, evidence.header.settings),
        f"so: {because}",
    ]
    return tuple(harmless(line) for line in lines)


def place_words(place: StepSlot) -> str:
    """``verify step 11, draft slot 3 (the correction of a rejected draft)``."""
    return f"verify step {place.step}, draft slot {place.slot} ({_ROLES[place.role]})"


def _in_context(evidence: Evidence, pair: Pair, arbitration: Arbitration | None) -> Iterator[str]:
    """Both tokens, marked, behind the text they share."""
    assert pair.position is not None
    sides = (
        (pair.base, pair.target, arbitration.target_piece if arbitration else None),
        (pair.arm, pair.other, arbitration.arm_piece if arbitration else None),
    )
    shared = tail(arbitration.context, cells=CONTEXT_CELLS) if arbitration else ""
    for arm, generation, piece in sides:
        if pair.position < len(generation.token_ids):
            token = generation.token_ids[pair.position]
            shown = f"⟦{head(piece, cells=PIECE_CELLS) if piece is not None else token}⟧"
            name = f"{arm}: token {token}"
        else:
            shown = "⟦end⟧"
            name = f"{arm}: ended ({generation.finish_reason})"
        yield f"{shared}{shown}   {name}"
    if arbitration is None:
        yield f"{pair.base}'s text: {_text(evidence, pair.base, pair.key)}"
        yield f"{pair.arm}'s text: {_text(evidence, pair.arm, pair.key)}"


def _text(evidence: Evidence, arm: str, key: str) -> str:
    return head(evidence.captured[arm][key].text, cells=72)


def _where(evidence: Evidence, pair: Pair) -> Iterator[str]:
    if not pair.token_differs or pair.position is None:
        yield ended_differently(pair)
        return
    lengths = (
        f"{pair.base} has {len(pair.target.token_ids)}, {pair.arm} {len(pair.other.token_ids)}"
    )
    yield f"at {at_token(evidence, pair.key, pair.position)}; {lengths}"
    if pair.place:
        yield f"{pair.arm}'s {place_words(pair.place)}"


def _own_scores(pair: Pair, arbitration: Arbitration | None, settings: Settings) -> Iterator[str]:
    magnitude = arbitration.magnitude if arbitration else None
    for arm, generation in ((pair.base, pair.target), (pair.arm, pair.other)):
        score = own_score(pair, of=arm)
        if score and pair.position is not None:
            margin = score.logprob - score.rival_logprob
            ulps = (
                f" = {margin / ulp(settings.setup.dtype, magnitude):.3g} ulp" if magnitude else ""
            )
            yield (
                f"{arm}'s own scores: {_nats(score.logprob)} for its token "
                f"{generation.token_ids[pair.position]}, {_nats(score.rival_logprob)} for "
                f"{score.rival}: margin {_nats(margin)}{ulps}"
            )


def _reference(pair: Pair, arbitration: Arbitration | None, settings: Settings) -> Iterator[str]:
    if arbitration is None:
        yield "reference: none has scored this divergence"
        return
    name = head(arbitration.reference, cells=30)
    target, ours = arbitration.target_logprob, arbitration.arm_logprob
    if target is not None and ours is not None:
        yield (
            f"{name}: {_nats(target)} for {pair.base}'s token, {_nats(ours)} for {pair.arm}'s; "
            f"best is {arbitration.best}"
        )
        yield f"apart by {_margin(abs(target - ours), arbitration.magnitude, settings)}"
    for arm, gaps in ((pair.base, arbitration.target_gaps), (pair.arm, arbitration.arm_gaps)):
        if gaps:
            widest = max(gaps, key=lambda gap: gap.gap)
            yield (
                f"{arm}'s whole output: at most {widest.gap:.3g} nats under the reference's best, "
                f"at token {gaps.index(widest)}"
            )


def _margin(gap: float, magnitude: float | None, settings: Settings) -> str:
    dtype = settings.setup.dtype
    if magnitude is None:
        return f"{gap:.3g} nats, logits of unknown size"
    unit = ulp(dtype, magnitude)
    return (
        f"{gap:.3g} nats = {gap / unit:.3g} ulp ({dtype}, logits near {magnitude:.3g}); "
        f"allowed {settings.near_tie_ulps:g} ulp = {settings.near_tie_ulps * unit:.3g} nats"
    )


def _nats(value: float) -> str:
    return f"{value:.4g}"
