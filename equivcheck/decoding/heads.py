"""Heads: layers that draft from the target's own hidden states, as EAGLE-3 and MTP do.

Entry p of a head stands at position p. It is made of the target's hidden state there and of the
token behind it, p + 1, and says what follows that token. So a text of n tokens has n - 1 entries.
How they are put in a row is `head_drafter.py`; reading them from disk is `head_files.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from equivcheck.decoding.cache import StaticCache
from equivcheck.decoding.model import Passed, StaticModel
from equivcheck.decoding.transforms import HIDDEN


class Depth:
    """One layer of a head, over a cache of its own."""

    def __init__(self, model: StaticModel, *, token_norm: Tensor, hidden_norm: Tensor) -> None:
        """Run `model`, of one layer and the target's embedding, on what the two norms leave."""
        self.model, self.token_norm, self.hidden_norm = model, token_norm, hidden_norm

    def forward(self, tokens: Tensor, hidden: Tensor, start: Tensor, cache: StaticCache) -> Passed:
        """Write a window of entries into the cache; the hidden states behind each.

        Args:
            tokens: [rows, window], int64: the token behind each entry's position.
            hidden: [rows, window, hidden]: what is known at each entry's position.
            start: [rows], int64: position of each row's first entry.
            cache: the depth's.
        """
        raise NotImplementedError

    def norm(self, hidden: Tensor, gain: Tensor) -> Tensor:
        """RMS norm."""
        return self.model.backend.norm(hidden, gain, eps=self.model.norm_eps)


class EagleDepth(Depth):
    """Attends by token and hidden state side by side, and adds to the hidden state alone."""

    def forward(self, tokens: Tensor, hidden: Tensor, start: Tensor, cache: StaticCache) -> Passed:
        """As vLLM's `llama_eagle3` does."""
        token = self.norm(self.model.embed(tokens), self.token_norm)
        beside = torch.cat([token, self.norm(hidden, self.hidden_norm)], dim=-1)
        return self.model.through(hidden, start, cache, normed=beside)


class MtpDepth(Depth):
    """Projects hidden state and token onto one, which passes through an ordinary layer."""

    def __init__(self, model: StaticModel, *, projection: Tensor, **norms: Tensor) -> None:
        """`projection` is [hidden, 2 * hidden], the hidden state's columns first."""
        super().__init__(model, **norms)
        self.projection = projection

    def forward(self, tokens: Tensor, hidden: Tensor, start: Tensor, cache: StaticCache) -> Passed:
        """As vLLM's `mimo_mtp` does, where the first position's token counts as nothing."""
        positions = start[:, None] + self.model.key_positions[: tokens.shape[1]]
        token = self.model.embed(tokens).masked_fill((positions == 0)[..., None], 0.0)
        normed = [self.norm(hidden, self.hidden_norm), self.norm(token, self.token_norm)]
        joined = self.model.linear(torch.cat(normed, dim=-1), self.projection)
        return self.model.through(joined, start, cache)


class Head:
    """What drafts: one or more depths, of which the last is used again for further drafts."""

    def __init__(self, depths: Sequence[Depth], *, keeps: Sequence[int], limit: int) -> None:
        """Take the places of the target's hidden states that it was trained on, and how far."""
        self.depths, self.keeps, self.limit = tuple(depths), tuple(keeps), limit

    @property
    def model(self) -> StaticModel:
        return self.depths[0].model

    def features(self, kept: Sequence[Tensor]) -> Tensor:
        """What the first depth takes of the target's hidden states [rows, window, hidden] each."""
        raise NotImplementedError

    def passed_on(self, passed: Passed) -> Tensor:
        """What the next entry, or the next depth's entry, takes for its hidden state."""
        raise NotImplementedError

    def logits(self, passed: Passed) -> Tensor:
        """Over the target's vocabulary, fp32, [rows, window, vocab]; `HIDDEN`: never drafted."""
        return self.model.logits(passed.normed)


class EagleHead(Head):
    """One depth from three places of the target, over a part of the vocabulary (Li et al. 2025)."""

    def __init__(
        self,
        depth: Depth,
        *,
        keeps: Sequence[int],
        combine: Tensor,
        target_ids: Tensor,
        vocab: int,
        limit: int,
    ) -> None:
        """Draft with one depth.

        Args:
            depth: whose model's head is over the draft vocabulary.
            keeps: places, in the order in which `combine` wants them.
            combine: [hidden, places * target's hidden].
            target_ids: int64, [draft vocabulary]: the target's id of each token.
            vocab: how many ids the target has.
            limit: positions that it was trained for.
        """
        super().__init__([depth], keeps=keeps, limit=limit)
        self.combine = combine
        self.target_ids, self.vocab = target_ids, vocab

    def features(self, kept: Sequence[Tensor]) -> Tensor:
        return self.model.linear(torch.cat([*kept], dim=-1), self.combine)

    def passed_on(self, passed: Passed) -> Tensor:
        return passed.hidden

    def logits(self, passed: Passed) -> Tensor:
        """Spread over the target's ids."""
        logits = super().logits(passed)
        spread = logits.new_full((*logits.shape[:-1], self.vocab), HIDDEN)
        return spread.index_copy_(-1, self.target_ids, logits)


class MtpHead(Head):
    """Depths that each look one token further, from what leaves the target's last layer."""

    def features(self, kept: Sequence[Tensor]) -> Tensor:
        return kept[0]

    def passed_on(self, passed: Passed) -> Tensor:
        return passed.normed
