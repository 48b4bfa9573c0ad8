"""The one event that a bundle's script counts in drawn tokens, chosen from the stored draws.

A token's place in the target's own distribution, made continuous by chance, is uniform between 0
and 1 where the candidate follows it, whatever came before. So of a fixed number of fresh tokens,
those beyond a border are binomial, and one count decides with an error rate that is known.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from msgspec import Struct

from equivcheck.core.errors import RecordsError
from equivcheck.core.generation import Request
from equivcheck.records.records import Evidence
from equivcheck.records.sample_keys import parse_draw

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BORDERS = (0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.95, 0.98)
ORDERS = {"id": "pit_vocabulary", "probability": "pit_rank", "ratio": "pit_ratio"}
"""By what tokens are ordered, to the column of `ScoreTable`; ratio: of the draft's probability to
the target's."""
ORDER_WORDS = {
    "id": "token id",
    "probability": "falling probability",
    "ratio": "the draft's probability over the target's, falling",
}
LEAST_DEVIATIONS = 4.0
"""Standard deviations by which the stored draws have to show the event, the best of some 60. The
choice may be wrong; the test on fresh tokens is not, whatever was chosen."""
SHRINK = 2.0
"""Standard deviations by which the stored share is taken to be exaggerated, as it was chosen."""
QUANTILE_ALPHA, QUANTILE_POWER = 4.7534, 2.3263
"""Quantiles of the normal distribution: one in a million, and one in a hundred."""
FEWEST, MOST = 500, 100_000
_BEYOND = ("repetition_penalty", "presence_penalty", "frequency_penalty", "logit_bias")
_BANS = ("banned_tokens", "min_new_tokens")


class BundleEvent(Struct, frozen=True, kw_only=True):
    """A place beyond a border."""

    order: str
    border: float
    above: bool
    tokens: int
    """To draw: so many that it shows in 99 of 100 repetitions, if it is as frequent as it was."""
    cases: tuple[str, ...]
    """Whose tokens count: those whose distribution needs nothing but temperature and cuts."""
    seen: int
    """Tokens beyond it among the stored draws."""
    of: int


def event_of(evidence: Evidence, batch: tuple[Request, ...], *, case: str) -> BundleEvent:
    """Choose it; of one case, or of all that are drawn where ``case`` is empty.

    Raises:
        RecordsError: no such event stands out of the stored draws.
    """
    if evidence.scores is None:
        raise RecordsError("the draws have no scores, so no event of known probability is there")
    plain = [each.key for each in batch if _plain(each) and case in ("", each.key)]
    keys = [parse_draw(key).case for key in evidence.scores.keys]
    starts = evidence.scores.starts
    rows = [
        row
        for output, key in enumerate(keys)
        if key in plain
        for row in range(starts[output], starts[output + 1])
    ]
    orders = [each for each in ORDERS if each != "ratio" or _has_draft(evidence)]
    found = [
        _event(getattr(evidence.scores, ORDERS[order])[rows], order, border, above)
        for order in orders
        for border in BORDERS
        for above in (True, False)
    ]
    best = max(found, key=_deviations)
    if not rows or _deviations(best) < LEAST_DEVIATIONS or (tokens := _needed(best)) > MOST:
        raise RecordsError(
            "no one event of the stored draws stands out of the target's distribution enough to be "
            f"shown by {MOST:,} tokens; `equivcheck run --continue` draws more of them"
        )
    return BundleEvent(
        order=best.order,
        border=best.border,
        above=best.above,
        seen=best.seen,
        of=best.of,
        tokens=tokens,
        cases=tuple(plain),
    )


def share_of(event: BundleEvent) -> float:
    """Probability of the event under the target's distribution."""
    return 1 - event.border if event.above else event.border


def _event(places: NDArray[np.float32], order: str, border: float, above: bool) -> BundleEvent:
    hits = int(((places > border) == above).sum())
    return BundleEvent(
        order=order, border=border, above=above, tokens=0, cases=(), seen=hits, of=len(places)
    )


def _deviations(event: BundleEvent) -> float:
    share, of = share_of(event), max(1, event.of)
    return (event.seen - of * share) / math.sqrt(of * share * (1 - share))


def _needed(event: BundleEvent) -> int:
    """Tokens by the normal approximation, rounded up to two digits."""
    share, stored = share_of(event), event.seen / event.of
    true = stored - SHRINK * math.sqrt(stored * (1 - stored) / event.of)
    if true <= share:
        return MOST + 1
    reach = QUANTILE_ALPHA * math.sqrt(share * (1 - share))
    reach += QUANTILE_POWER * math.sqrt(true * (1 - true))
    tokens = math.ceil((reach / (true - share)) ** 2)
    digits = 10 ** max(0, len(str(tokens)) - 2)
    rounded: int = math.ceil(tokens / digits) * digits
    return max(FEWEST, rounded)


def _plain(request: Request) -> bool:
    sampling = request.sampling
    neutral = type(sampling)()
    return not sampling.greedy and all(
        getattr(sampling, name) == getattr(neutral, name) for name in (*_BEYOND, *_BANS)
    )


def _has_draft(evidence: Evidence) -> bool:
    assert evidence.scores is not None
    return evidence.scores.draft_distribution == "draft model" and "draft" in evidence.header.models
