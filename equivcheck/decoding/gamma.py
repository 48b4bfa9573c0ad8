"""How many tokens to draft next: fixed, or chosen from what was accepted lately.

On the host, between steps. The choice moves speed; under the greedy and coupled rules it cannot
move a token.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from equivcheck.decoding.outcome import RowOutcome

PATIENCE = 8
"""Half the steps without a draft after which one is tried again, to notice better times. Each time
that it is wrong, twice as many go by."""
MOST_PATIENCE = 256
CAUGHT_UP = 14
"""Skipped steps, at most, whose tokens the drafter reads in the course of its next step."""
MEMORY = 0.9
"""Weight of the past in the running acceptance counts, per step."""


class DraftCost(NamedTuple):
    """What drafts add to a step, in plain steps."""

    first: float
    """The first, which reads what was accepted last along with it."""
    further: float
    """Each one more."""

    def of(self, gamma: int) -> float:
        """Of `gamma` drafts."""
        return self.first + (gamma - 1) * self.further if gamma else 0.0


class GammaPolicy:
    """A fixed number of drafts per step; base of the adaptive one."""

    def __init__(self, most: int) -> None:
        """Draft `most` tokens a step."""
        self.most = most
        self.skipped = 0

    @property
    def behind(self) -> bool:
        """Whether the drafter has to read on before its next step, having missed too much."""
        return self.skipped > CAUGHT_UP

    @property
    def unread(self) -> int:
        """Latest tokens the drafter may not have read yet.

        Two after a drafting step, since after full acceptance the last draft was never fed back.
        A power of two, so that catching up after skipped steps meets few distinct shapes.
        """
        return 2 if self.behind else 1 << (self.skipped + 1).bit_length()

    def choose(self) -> int:
        """Drafts for the next step."""
        return self.most

    def observe(self, gamma: int, outcomes: Sequence[RowOutcome]) -> None:
        """Learn: `gamma` tokens a row were just drafted, and these outcomes have come in.

        Both are of one step, except where the device works ahead of the host.
        """
        self.skipped = 0 if gamma else self.skipped + 1


class AdaptiveGamma(GammaPolicy):
    """Drafts the number with the best predicted speed, 0 included.

    With conditional acceptance a per token, a step of gamma drafts yields
    (1 - a^(gamma + 1)) / (1 - a) tokens (Leviathan et al. 2023, theorem 3.8). At locked shape,
    verifying costs as much as plain decoding, and drafting comes on top.
    """

    def __init__(self, most: int, *, cost: DraftCost) -> None:
        """Draft at most `most` tokens; `cost` is measured once per engine."""
        super().__init__(most)
        self.cost = cost
        self.hits, self.misses = 2.0, 1.0
        self.patience = PATIENCE

    def choose(self) -> int:
        """The gamma of best predicted speed; now and then 1 where that is 0."""
        return self.best() or int(self.skipped >= self.patience)

    def best(self) -> int:
        """The gamma of best predicted speed."""
        accept = self.hits / (self.hits + self.misses)
        return max(range(self.most + 1), key=lambda gamma: self.predicted_speed(accept, gamma))

    def predicted_speed(self, accept: float, gamma: int) -> float:
        """Tokens per target-step time."""
        return sum(accept**power for power in range(gamma + 1)) / (1 + self.cost.of(gamma))

    def observe(self, gamma: int, outcomes: Sequence[RowOutcome]) -> None:
        """Update the running acceptance: a censored-geometric estimate."""
        super().observe(gamma, outcomes)
        if any(row.drafted for row in outcomes):
            accepted = sum(row.accepted for row in outcomes)
            self.hits = MEMORY * self.hits + accepted
            missed = sum(row.accepted < row.drafted for row in outcomes)
            self.misses = MEMORY * self.misses + missed
            worth_it = accepted or self.best()
            self.patience = PATIENCE if worth_it else min(2 * self.patience, MOST_PATIENCE)
