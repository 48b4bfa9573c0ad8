"""How many tokens a test of the sampled distribution draws, and what it has to exclude to pass."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

from equivcheck.core.settings import ProfileName
from equivcheck.statistics.alternatives import NEUTRAL
from equivcheck.statistics.margins import Margin

ALPHA = 1e-4
"""Probability at most that the whole gate accuses a lossless decoder."""
ALPHA_PASS = 1e-3
"""Probability at most, for each margin, that it is excluded although it is the truth."""


class Required(NamedTuple):
    """A departure that has to be excluded, with everything beyond it."""

    kind: str
    value: float

    @property
    def name(self) -> str:
        """As scoring names the distribution at this margin."""
        return f"{self.kind}={self.value:g}"

    @property
    def departure(self) -> float:
        """How far it lies from the target's own distribution, with its sign."""
        return round(self.value - NEUTRAL[self.kind], 9)

    def excluded_by(self, margin: Margin) -> bool:
        """Whether a measured margin excludes it."""
        if margin.kind != self.kind or margin.upward != (self.departure > 0):
            return False
        if margin.bound is None:
            return False
        return abs(margin.bound - NEUTRAL[self.kind]) <= abs(self.departure) + 1e-9


@dataclasses.dataclass(frozen=True, kw_only=True)
class Profile:
    """A budget and what it is for."""

    tokens: int
    required: tuple[Required, ...]
    alpha: float = ALPHA
    alpha_pass: float = ALPHA_PASS


def _both(kind: str, step: float) -> tuple[Required, Required]:
    neutral = NEUTRAL[kind]
    return Required(kind, round(neutral - step, 9)), Required(kind, round(neutral + step, 9))


PROFILES: dict[ProfileName, Profile] = {
    "quick": Profile(
        tokens=12_000,
        required=(
            Required("leak", 0.1),
            Required("lenience", 0.8),
            *_both("temperature", 0.05),
            *_both("tilt", 0.3),
        ),
    ),
    "default": Profile(
        tokens=40_000,
        required=(
            Required("leak", 0.05),
            Required("lenience", 0.9),
            *_both("temperature", 0.05),
            *_both("tilt", 0.1),
        ),
    ),
    "release": Profile(
        tokens=250_000,
        required=(
            Required("leak", 0.02),
            Required("lenience", 0.95),
            *_both("temperature", 0.02),
            *_both("tilt", 0.03),
        ),
    ),
}
"""By name: for a pull request, for a gate, for a release.

Each shows what it requires with 99 % probability on the bundled pair, whose distributions lie .40
apart: there `quick` takes 7,700 tokens, `default` 20,400 and `release` 220,400.
"""
