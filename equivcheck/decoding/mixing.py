"""Two drafters in turn: prompt lookup where it has found something, else a draft model.

What was looked up costs next to nothing and is often right where a text repeats itself; the model
drafts the rest. Which of them is asked is decided between steps, so a step is one or the other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple, Self

from torch import Tensor

from equivcheck.decoding.drafters import Drafter, ModelDrafter, PromptLookupDrafter
from equivcheck.decoding.gamma import UNREAD, Acceptance, AdaptiveGamma, DraftCost, Kind
from equivcheck.decoding.graphs import Recorder
from equivcheck.decoding.outcome import RowOutcome
from equivcheck.decoding.prefill import Span
from equivcheck.decoding.rows import Rows
from equivcheck.decoding.verification import Proposal, VerificationRule

SIZES = 8
"""More than an n-gram has tokens."""


class MixedDrafter(Drafter):
    """Asks the draft model where it may read, else looks up."""

    waits = True
    """Who drafts next depends on how the last step came out."""

    def __init__(self, model: ModelDrafter, lookup: PromptLookupDrafter) -> None:
        self.model, self.lookup = model, lookup
        self.models, self.caches = model.models, model.caches

    @property
    def recorders(self) -> tuple[Recorder, ...]:
        return self.model.recorders

    def read(self, rows: Rows, spans: Sequence[Span]) -> None:
        self.model.read(rows, spans)

    def ready(self, rows: Rows, *, longest: int) -> None:
        """Have the model's reading recorded."""
        self.model.ready(rows, longest=longest)

    def propose(self, rows: Rows, rule: VerificationRule, *, gamma: int, unread: int) -> Proposal:
        """Ask one of them: with nothing unread the model is not asked."""
        drafter = self.model if unread else self.lookup
        return drafter.propose(rows, rule, gamma=gamma, unread=unread)

    def forecast(self, rows: Rows) -> Tensor:
        """What a lookup would find next, as `LookupResult` reads it, [rows]."""
        match = self.lookup.match(rows)
        return match.known * SIZES + match.size


class LookupResult(NamedTuple):
    """What a lookup would find."""

    tokens: int
    """To propose."""
    size: int
    """Length of the n-gram that was found: the longer, the surer."""

    @classmethod
    def read(cls, forecast: int) -> Self:
        return cls(*divmod(forecast, SIZES))


class MixedGamma(AdaptiveGamma):
    """Before each step chooses who drafts, and how much, by the best predicted speed."""

    def __init__(
        self,
        most: int,
        *,
        cost: DraftCost,
        lookup_cost: DraftCost,
        may_pause: bool,
        truncated_cost: DraftCost | None = None,
    ) -> None:
        """Choose among `most` tokens looked up, and up to as many by the draft model.

        `may_pause` lets it draft nothing at all.
        """
        super().__init__(most, cost=cost, truncated_cost=truncated_cost)
        self.lookup_cost = lookup_cost
        self.may_pause = may_pause
        self.repeats: defaultdict[int, Acceptance] = defaultdict(Acceptance)
        """By the size of the n-gram that was found."""
        self.found: list[LookupResult] = []
        self.looking = False

    @property
    def unread(self) -> int:
        """As without lookup, where the model is asked."""
        return 0 if self.looking else super().unread

    @property
    def kinds(self) -> list[Kind]:
        """A lookup, or any gamma behind a lookup or a draft; nothing at all if it may pause."""
        drafted = [Kind(gamma, unread) for gamma in range(1, self.most + 1) for unread in UNREAD]
        return [Kind(self.most, 0), *drafted, *([Kind(0, 0)] if self.may_pause else [])]

    def choose(self) -> int:
        """What is looked up is drafted in full."""
        return self.most if self.looking else super().choose()

    def best(self) -> int:
        """The best number of the model's drafts."""
        return max(range(0 if self.may_pause else 1, self.most + 1), key=self.predicted_speed)

    def observe(self, gamma: int, outcomes: Sequence[RowOutcome]) -> None:
        """Learn of the drafter that was asked, then decide who is next."""
        if self.looking:
            self.missed += max((row.accepted + 1 for row in outcomes), default=0)
            # Where rows have changed hands since, a few are taken for each other.
            sizes = [found.size for found in self.found]
            for size in set(sizes):
                rows = [row for row, at in zip(outcomes, sizes, strict=False) if at == size]
                self.repeats[size].observe(rows)
        else:
            super().observe(gamma, outcomes)
        self.found = [LookupResult.read(row.forecast) for row in outcomes]
        self.looking = self.lookup_speed() > self.predicted_speed(self.best())

    def lookup_speed(self) -> float:
        """Predicted speed of a step that looks up; rows without a match yield one token."""
        if not any(found.tokens for found in self.found):
            return 0.0
        tokens = [
            self.repeats[found.size].tokens(min(self.most, found.tokens)) for found in self.found
        ]
        return sum(tokens) / len(tokens) / (1 + self.lookup_cost.of(self.most))
