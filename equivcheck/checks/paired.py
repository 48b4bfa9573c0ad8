"""Two decoders on the same prompts: how far apart are their shares of right answers?

The sample is prompts, never tokens. Only prompts on which exactly one of the two is right say
anything about a difference.
"""

from __future__ import annotations

from typing import NamedTuple

from equivcheck.checks.budget import at_least
from equivcheck.core.findings import Interval
from equivcheck.statistics.ratios import LEVEL, exact_interval


class Shares(NamedTuple):
    """What two arms got right of the same prompts."""

    prompts: int
    candidate_only: int
    """Prompts on which the candidate alone is right."""
    target_only: int

    @property
    def difference(self) -> float:
        """The candidate's share of right answers minus the target's; at least one prompt."""
        return (self.candidate_only - self.target_only) / self.prompts

    @property
    def p_value(self) -> float:
        """Chance of so many losses, were candidate and target equally good: the sign test."""
        return at_least(self.target_only, of=self.candidate_only + self.target_only)


def interval_of(shares: Shares) -> Interval:
    """Interval of the difference, at least 95 % for any number of prompts.

    The difference of two shares of a multinomial, each between its exact bounds (Clopper and
    Pearson, 1934) at a quarter of the error, so that all four hold together (Bonferroni).
    """
    tail = (1 - LEVEL) / 4
    ours = exact_interval(shares.candidate_only, of=shares.prompts, tail=tail)
    theirs = exact_interval(shares.target_only, of=shares.prompts, tail=tail)
    return Interval(low=ours.low - theirs.high, high=ours.high - theirs.low)
