"""How far the tokens' bins lie from the target's distribution: effect sizes in plain units.

Descriptions and a fixed-sample bound, never a gate: e-processes decide.
"""

from __future__ import annotations

import dataclasses
import math
from typing import NamedTuple

import numpy as np

from equivcheck.records.score_table import BINS, PROBABILITY_EDGES, RATIO_EDGES, ScoreTable, Support

FIRST_LEANING = (RATIO_EDGES.index(0.0) + 1) * (len(PROBABILITY_EDGES) + 1)
"""The bins from here on hold tokens with q >= p."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Excess:
    """Observed less expected probability, averaged over tokens."""

    tokens: int
    draft_lean: float
    """Excess mass on tokens with q >= p; positive where the output leans to the draft."""
    draft_lean_error: float
    """Standard error of it under the target's distribution."""
    coarse: float
    """Largest excess of any set of bins, as observed."""
    coarse_bound: float
    """It is less than this at the level asked for; no bound on the total variation distance."""


def excess(scores: ScoreTable, *, level: float) -> Excess:
    """Excess mass with a bound that fails with probability at most `level`.

    The bound is ``sum|O - E| / 2n + sqrt((B ln 2 + ln(1/level)) / 2n)``: Azuma's inequality for
    each of the 2^B sets of bins, and their union (Weissman et al. 2003). It holds for a number of
    tokens fixed beforehand.
    """
    inside = scores.support == Support.INSIDE
    tokens = int(inside.sum())
    if tokens == 0:
        return Excess(tokens=0, draft_lean=0.0, draft_lean_error=1.0, coarse=0.0, coarse_bound=1.0)
    mass = scores.bin_mass[inside].astype(np.float64)
    observed = np.bincount(scores.bin[inside], minlength=BINS)
    difference = (observed - mass.sum(axis=0)) / tokens
    leaning = np.clip(mass[:, FIRST_LEANING:].sum(axis=1), 0.0, 1.0)
    coarse = float(np.abs(difference).sum()) / 2.0
    slack = math.sqrt((BINS * math.log(2.0) - math.log(level)) / (2.0 * tokens))
    return Excess(
        tokens=tokens,
        draft_lean=float(difference[FIRST_LEANING:].sum()),
        draft_lean_error=math.sqrt(float((leaning * (1.0 - leaning)).sum())) / tokens,
        coarse=coarse,
        coarse_bound=min(1.0, coarse + slack),
    )


class Distance(NamedTuple):
    """How far the tokens' distribution is from the target's, averaged over tokens."""

    tokens: int
    estimate: float
    low: float
    high: float


def total_variation(scores: ScoreTable, *, level: float) -> Distance:
    """Total variation a token between the tokens' bins and those under p, with an interval.

    The mean over tokens of (a bin's indicator - its mass under p) is a martingale around the mean
    of (its mass under the tokens' own distribution - under p), whatever came before each token.
    Azuma's inequality for each of the 2^B sets of bins, two-sided, and their union bound the
    largest of them at ``level / 2``. The one set named beforehand, where the draft leans, has a
    narrower bound at ``level / 2``, used from below. Both hold together with probability
    ``1 - level`` for a number of tokens fixed beforehand. What moves within a bin comes on top.
    """
    found = excess(scores, level=level)
    if not found.tokens:
        return Distance(tokens=0, estimate=0.0, low=0.0, high=1.0)
    any_set = math.sqrt((BINS * math.log(2.0) + math.log(4.0 / level)) / (2.0 * found.tokens))
    one_set = math.sqrt(math.log(4.0 / level) / (2.0 * found.tokens))
    low = max(0.0, found.coarse - any_set, abs(found.draft_lean) - one_set)
    high = min(1.0, found.coarse + any_set)
    return Distance(tokens=found.tokens, estimate=found.coarse, low=low, high=high)
