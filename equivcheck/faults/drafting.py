"""F20: the drafter is worse than it should be. The output stays right; only speed is lost."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from equivcheck.decoding.cache import StaticCache
from equivcheck.decoding.decoder import Decoder
from equivcheck.decoding.drafters import Drafter, ModelDrafter
from equivcheck.decoding.model import StaticModel
from equivcheck.decoding.verification import Proposal
from equivcheck.faults.fault import fault
from equivcheck.faults.positions import other_kind

NEAR = 64
"""Positions up to which a drafter works that breaks down later."""


def draft_model(drafter: Drafter | None) -> StaticModel:
    """The model behind a drafter."""
    assert isinstance(drafter, ModelDrafter)
    return drafter.model


class OtherDraftModel(Decoder):
    """Base: drafts with another forward pass."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        assert isinstance(self.drafter, ModelDrafter)
        drafter = ModelDrafter(self.changed(self.drafter.model), rows=len(self.seats))
        self.drafter = drafter

    def changed(self, model: StaticModel) -> StaticModel:
        """The model to draft with."""
        return model


class LatePositions(StaticModel):
    """Puts tokens that are fed one by one a position too late."""

    def forward(self, tokens: Tensor, start: Tensor, cache: StaticCache) -> Tensor:
        return super().forward(tokens, start + int(tokens.shape[1] == 1), cache)


@fault(
    "draft-position-late",
    family="F20",
    recreates="sglang #25015",
    breaks="speed",
    caught_by="acceptance",
)
class DraftsLate(OtherDraftModel):
    """Drafts after the first are fed one position too late."""

    def changed(self, model: StaticModel) -> StaticModel:
        return other_kind(model, LatePositions)


@fault(
    "draft-layer-missing",
    family="F20",
    recreates="sglang #32334",
    breaks="speed",
    caught_by="acceptance",
)
class SkipsDraftLayer(OtherDraftModel):
    """The draft model's layers are counted from one, which leaves the first out."""

    def changed(self, model: StaticModel) -> StaticModel:
        other = other_kind(model, StaticModel)
        other.weights = dataclasses.replace(model.weights, layers=model.weights.layers[1:])
        return other


@fault(
    "stale-draft-cache",
    family="F20",
    recreates="sglang #19897",
    breaks="speed",
    caught_by="acceptance",
)
class ForgetsDraftCache(Decoder):
    """The draft model's cache is blank at the start of every step."""

    def propose(self, *, gamma: int, unread: int) -> Proposal:
        """Blank the draft model's cache before every step."""
        assert isinstance(self.drafter, ModelDrafter)
        for buffer in (*self.drafter.cache.keys, *self.drafter.cache.values):
            buffer.zero_()
        return super().propose(gamma=gamma, unread=unread)


@fault(
    "draft-lacks-bonus",
    family="F20",
    recreates="vLLM #9730",
    breaks="speed",
    caught_by="acceptance",
    engine="native:gamma=2",
)
class SkipsLastDraft(Decoder):
    """After full acceptance the draft model never reads the last draft."""

    def propose(self, *, gamma: int, unread: int) -> Proposal:
        """Show it the newest token only."""
        return super().propose(gamma=gamma, unread=1)


@fault(
    "draft-dies-past-length",
    family="F20",
    recreates="vLLM #52873",
    breaks="speed",
    caught_by="acceptance",
)
class DraftsNearOnly(Decoder):
    """Past 64 positions the draft model's cache is lost, again and again."""

    def propose(self, *, gamma: int, unread: int) -> Proposal:
        """Blank the cache of rows that are long."""
        assert isinstance(self.drafter, ModelDrafter)
        for buffer in (*self.drafter.cache.keys, *self.drafter.cache.values):
            buffer[self.rows.length > NEAR] = 0.0
        return super().propose(gamma=gamma, unread=unread)


@fault(
    "draft-dies-with-concurrency",
    family="F20",
    recreates="llama.cpp #27117",
    breaks="speed",
    caught_by="acceptance",
)
class DraftsForFewRows(Decoder):
    """With more than two requests in the batch, all others get the second row's drafts."""

    def propose(self, *, gamma: int, unread: int) -> Proposal:
        """Copy the second row's drafts."""
        proposal = super().propose(gamma=gamma, unread=unread)
        tokens = proposal.tokens.clone()
        tokens[2:] = tokens[1]
        return proposal._replace(tokens=tokens, log_probs=None)


@fault(
    "draft-prompt-unread",
    family="F20",
    recreates="vLLM #47926",
    breaks="speed",
    caught_by="acceptance",
)
class DraftsWithoutPrompt(Decoder):
    """The draft model never reads a prompt: its cache holds what the row's last request left."""

    def introduce(self, lengths: Mapping[int, int]) -> None:
        """Count what a new row holds as read."""
        self.drafted_at |= {row: at for row, at in lengths.items() if row not in self.drafted_at}
        super().introduce(lengths)
