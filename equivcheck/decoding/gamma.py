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
UNREAD = (2, 8, 32)
"""Latest tokens that the draft model is shown, of which it may know some."""
CAUGHT_UP = UNREAD[-1] - 2
"""Missed tokens, at most, that the drafter reads in the course of its next step."""
MEMORY = 0.9
"""Weight of the past in the running acceptance counts, per step."""


class DraftCost(NamedTuple):
    """What drafts add to a step, in plain steps."""

    first: float
    """The first, which reads what was accepted last along with it."""
    further: float
    """Each one more."""

    def of(self, gamma: int) -> float:
        """Cost of `gamma` drafts, in plain steps."""
        return self.first + (gamma - 1) * self.further if gamma else 0.0


class Acceptance:
    """How often a draft is accepted, lately: a censored-geometric estimate."""

    def __init__(self) -> None:
        self.hits, self.misses = 2.0, 1.0

    def observe(self, outcomes: Sequence[RowOutcome]) -> bool:
        """Take in a step's outcomes; whether any draft in them was accepted."""
        accepted = sum(row.accepted for row in outcomes)
        self.hits = MEMORY * self.hits + accepted
        self.misses = MEMORY * self.misses + sum(row.accepted < row.drafted for row in outcomes)
        return accepted > 0

    def tokens(self, gamma: int) -> float:
        """Tokens that a step of `gamma` drafts is expected to yield.

        With conditional acceptance a per token, (1 - a^(gamma + 1)) / (1 - a) (Leviathan et al.
        2023, theorem 3.8).
        """
        rate = self.hits / (self.hits + self.misses)
        return sum(rate**power for power in range(gamma + 1))


class Kind(NamedTuple):
    """What a step's drafting is, as far as the shapes of its tensors go."""

    gamma: int
    unread: int


class GammaPolicy:
    """A fixed number of drafts per step; base of the adaptive ones."""

    def __init__(self, most: int) -> None:
        """Draft `most` tokens a step."""
        self.most = most
        self.missed = 0
        """Tokens a row may have gained since the draft model was last asked."""
        self.truncating = False
        """Whether any row draws from a truncated distribution: each draft then takes sorting."""

    @property
    def behind(self) -> bool:
        """Whether the draft model has to read on before its next step, having missed too much."""
        return self.missed > CAUGHT_UP

    @property
    def unread(self) -> int:
        """Latest tokens a draft model may not have read yet; 0: it is not asked.

        Two after a drafting step, since after full acceptance the last draft was never fed back.
        One of few sizes, so that catching up after skipped steps meets few distinct shapes.
        """
        if self.behind:
            return UNREAD[0]
        return next(size for size in UNREAD if size >= self.missed + 2)

    @property
    def kinds(self) -> list[Kind]:
        """The steps that come up all the time."""
        return [Kind(self.most, UNREAD[0])]

    def choose(self) -> int:
        """Drafts for the next step."""
        return self.most

    def observe(self, gamma: int, outcomes: Sequence[RowOutcome]) -> None:
        """Learn: `gamma` tokens a row were just drafted, and these outcomes have come in.

        Both are of one step, except where the device works ahead of the host.
        """
        self.missed = 0 if gamma else self.missed + 1


class AdaptiveGamma(GammaPolicy):
    """Drafts the number with the best predicted speed, 0 included.

    At locked shape, verifying costs as much as plain decoding, and drafting comes on top.
    """

    def __init__(
        self, most: int, *, cost: DraftCost, truncated_cost: DraftCost | None = None
    ) -> None:
        """Draft at most `most` tokens; costs are measured once per engine.

        `truncated_cost` is that of drafts while a row draws from a truncated distribution; None:
        the same.
        """
        super().__init__(most)
        self.cost, self.truncated_cost = cost, truncated_cost or cost
        self.acceptance = Acceptance()
        self.patience = PATIENCE

    @property
    def kinds(self) -> list[Kind]:
        """Any gamma, none, and one try after a pause.

        Where outcomes come late, a step without drafts stands between a try and what follows.
        """
        drafting = range(1, self.most + 1)
        usual = [Kind(gamma, unread) for unread in UNREAD[:2] for gamma in drafting]
        return [Kind(0, 0), *usual, Kind(1, UNREAD[-1])]

    def choose(self) -> int:
        """The gamma of best predicted speed; now and then 1 where that is 0."""
        return self.best() or int(self.missed >= self.patience)

    def best(self) -> int:
        """The gamma of best predicted speed."""
        return max(range(self.most + 1), key=self.predicted_speed)

    def predicted_speed(self, gamma: int) -> float:
        """Tokens per target-step time."""
        cost = self.truncated_cost if self.truncating else self.cost
        return self.acceptance.tokens(gamma) / (1 + cost.of(gamma))

    def observe(self, gamma: int, outcomes: Sequence[RowOutcome]) -> None:
        """Update what is known of acceptance, and how long to wait where drafting does not pay."""
        super().observe(gamma, outcomes)
        if any(row.drafted for row in outcomes):
            worth_it = self.acceptance.observe(outcomes) or self.best()
            self.patience = PATIENCE if worth_it else min(2 * self.patience, MOST_PATIENCE)
