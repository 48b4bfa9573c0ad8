"""How often may arithmetic flip a token? No more often than it does between two plain decoders.

The control arm is the target again with other kernel shapes. Of the same cases, those where only
the candidate or only the control parts from the target are the discordant ones; if the candidate
parts no more often than the control, each is the candidate's with probability at most one half.
That is McNemar's exact test, one-sided: sharp where the same few prompts hold everyone's near ties.
"""

from __future__ import annotations

import math
from collections.abc import Set
from fractions import Fraction
from typing import NamedTuple

ALPHA = 1e-3
"""Chance, per run, of accusing a candidate that flips just as often as the control."""


class ControlComparison(NamedTuple):
    """Parted cases of two arms, on the cases that both were held to."""

    cases: int
    candidate: int
    control: int
    p_value: float
    """Chance of so many more flips than the control's, were both equally prone."""


def compare(*, cases: Set[str], candidate: Set[str], control: Set[str]) -> ControlComparison:
    """Hold the candidate's parted cases against the control's, on ``cases`` only."""
    ours, theirs = candidate & cases, control & cases
    return ControlComparison(
        cases=len(cases),
        candidate=len(ours),
        control=len(theirs),
        p_value=at_least(len(ours - theirs), of=len(ours ^ theirs)),
    )


def at_least(count: int, *, of: int) -> float:
    """Probability of ``count`` or more heads in ``of`` tosses of a fair coin, exactly."""
    ways = sum(math.comb(of, heads) for heads in range(count, of + 1))
    return float(Fraction(ways, 2**of))
