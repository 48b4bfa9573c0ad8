"""T7: which departures from the target's distribution the tokens exclude, at a fixed level."""

from __future__ import annotations

import dataclasses

import numpy as np

from equivcheck.records.score_table import ScoreTable, Support
from equivcheck.statistics.alternatives import NEUTRAL, Alternative, parse_all
from equivcheck.statistics.wealth import Logs


@dataclasses.dataclass(frozen=True, kw_only=True)
class Margin:
    """One parameter in one direction away from the target's distribution."""

    kind: str
    upward: bool
    """Whether the wrong values lie above the target's own, as a temperature of 1.05 does."""
    bound: float | None
    """The nearest value that is excluded with all beyond it; None where the farthest is not."""
    log_e: dict[float, float]
    """Value to log e-value against the distribution of that value, nearest first."""


def margins(scores: ScoreTable, *, alpha_pass: float) -> tuple[Margin, ...]:
    """Invert the alternatives: bounds that hold with probability ``1 - alpha_pass`` each.

    If the truth were r, ``prod p(x) / r(x)`` would have mean 1 at most, so reaching
    ``1 / alpha_pass`` excludes r at that level (Ville). The same bet has mean at most 1 for every
    truth beyond r: along a mixture (leak) because its mean is linear in the share, 1 at r and no
    less than 1 at p; along an exponential family (temperature, tilt) because the log-partition
    function is convex. So no correction for the many values is needed. All values beyond the bound
    are asked to be excluded as well, for lenience has no such proof. The wealth at the last row
    counts, not the best on the way.
    """
    against = -_log_ratios(scores).sum(axis=0)
    columns = list(zip(parse_all(scores.alternatives), against.tolist(), strict=True))
    found = []
    for kind in NEUTRAL:
        for upward in (False, True):
            side = [
                (alternative, log_e)
                for alternative, log_e in columns
                if alternative.kind == kind and _on_side(alternative, upward=upward)
            ]
            if side:
                found.append(_margin(kind, side, upward=upward, alpha_pass=alpha_pass))
    return tuple(found)


def _log_ratios(scores: ScoreTable) -> Logs:
    inside = scores.support == Support.INSIDE
    return np.where(inside[:, None], scores.log_ratio.astype(np.float64), 0.0)


def _on_side(alternative: Alternative, *, upward: bool) -> bool:
    departure = alternative.departure
    return departure is not None and departure != 0.0 and (departure > 0.0) == upward


def _margin(
    kind: str, side: list[tuple[Alternative, float]], *, upward: bool, alpha_pass: float
) -> Margin:
    nearest_first = sorted(side, key=lambda column: abs(column[0].departure or 0.0))
    values = {found.value: log_e for found, log_e in nearest_first if found.value is not None}
    bound = None
    for value, log_e in reversed(values.items()):
        if log_e < -np.log(alpha_pass):
            break
        bound = value
    return Margin(kind=kind, upward=upward, bound=bound, log_e=values)
