"""Before anything is drawn: how many tokens each wrong distribution would take to show.

The growth rate of an e-process against a wrong distribution r is KL(r || p), so what a budget can
see follows from the two models' distributions alone. Where target and draft hardly differ, no
distribution that leans to the draft can show, and a pass would say nothing.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from equivcheck.records.records import Preflight
from equivcheck.records.score_table import ALTERNATIVES, ScoreTable, Support
from equivcheck.statistics.profiles import Profile, Required

POWER_QUANTILE = 2.326
"""Standard normal quantile of the power, 99 %, that is planned for."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shortfall:
    """A departure that the budget cannot show."""

    required: Required
    tokens: int | None
    """What it would take; None: no number would, as far as was measured."""


def preflight(scores: ScoreTable, *, tokens: int) -> Preflight:
    """Measure divergences on scored tokens of the target's own.

    Args:
        scores: Of tokens drawn from the target.
        tokens: The budget.

    Each divergence is the mean of ``t ln t - t + 1`` with ``t = r(x) / p(x)``, x drawn from p:
    never negative, of mean KL(r || p) where r adds nothing to p's support, and with noise of
    second order.
    """
    inside = scores.support == Support.INSIDE
    positions = int(inside.sum())
    if positions == 0:
        return Preflight(positions=0, draft_distance=0.0, divergences={}, tokens=tokens)
    log_ratio = scores.log_ratio[inside].astype(np.float64)
    ratio = np.exp(log_ratio)
    # At t = 0 the limit of t ln t is 0.
    each = ratio * np.where(np.isfinite(log_ratio), log_ratio, 0.0) - ratio + 1.0
    divergences = zip(scores.alternatives, each.mean(axis=0).tolist(), strict=True)
    return Preflight(
        positions=positions,
        draft_distance=round(float(scores.distance[inside].mean()), 6),
        divergences={name: round(max(0.0, value), 9) for name, value in divergences},
        tokens=tokens,
    )


def tokens_to_show(
    divergence: float, *, alpha: float, distributions: int = len(ALTERNATIVES)
) -> float:
    """Tokens after which a wrong distribution is refuted with 99 % probability.

    Solves ``n D - z sqrt(2 n D) = ln(K / alpha)`` for n: the e-process of one distribution among K
    grows by D a token, give or take ``sqrt(2 D)``.
    """
    if divergence <= 0.0:
        return math.inf
    reach = math.log(distributions / alpha)
    root = (math.sqrt(2.0) * POWER_QUANTILE + math.sqrt(2 * POWER_QUANTILE**2 + 4 * reach)) / 2
    return root**2 / divergence


def shortfalls(found: Preflight, profile: Profile) -> list[Shortfall]:
    """What the profile requires and the budget cannot show, the farthest out of reach first."""
    short = []
    for required in profile.required:
        needed = tokens_to_show(found.divergences.get(required.name, 0.0), alpha=profile.alpha)
        if needed > found.tokens:
            tokens = None if math.isinf(needed) else two_digits(needed)
            short.append((needed, Shortfall(required=required, tokens=tokens)))
    return [shortfall for _, shortfall in sorted(short, key=lambda pair: -pair[0])]


def visible_departures(found: Preflight, *, alpha: float) -> dict[str, float]:
    """Smallest departure of each kind that the budget shows with 99 % probability.

    By kind and direction, as ``temperature+``; a kind is left out where not even the farthest
    distribution of the library would show.
    """
    from equivcheck.statistics.alternatives import parse_all

    shown: dict[str, float] = {}
    for alternative in parse_all(found.divergences):
        if not (departure := alternative.departure):
            continue
        if tokens_to_show(found.divergences[alternative.name], alpha=alpha) <= found.tokens:
            name = f"{alternative.kind}{'+' if departure > 0 else '-'}"
            shown[name] = min(shown.get(name, math.inf), abs(departure))
    return shown


def hopeless(found: Preflight, profile: Profile) -> bool:
    """Whether drawing the budget could not lead to a pass that means something."""
    return found.positions > 0 and bool(shortfalls(found, profile))


def most_needed(short: Sequence[Shortfall]) -> int | None:
    """Tokens that would show all of it; None where no number would."""
    needed = [shortfall.tokens for shortfall in short]
    return None if not needed or None in needed else max(tokens for tokens in needed if tokens)


def two_digits(tokens: float) -> int:
    """A number of tokens, rounded up: an estimate should not look like a count."""
    unit: int = 10 ** max(0, math.floor(math.log10(tokens)) - 1)
    return math.ceil(tokens / unit) * unit
