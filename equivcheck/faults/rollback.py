"""F8: after a rejection the target's cache holds what it must not, or lacks what it must."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from equivcheck.core.generation import Request
from equivcheck.decoding.decoder import Decoder
from equivcheck.decoding.verification import Proposal, Verified
from equivcheck.faults.fault import fault

PAGE = 16
"""Positions of a page, where a fault has to do with one."""
RING = 96
"""Positions of a sliding window's ring."""


class RemembersRejection(Decoder):
    """Base: knows which rows rejected how many drafts in the last step."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.rejected = torch.zeros_like(self.rows.length)
        self.accepted = torch.zeros_like(self.rows.length)

    def admit(self, row: int, request: Request) -> None:
        """A new request has rejected nothing."""
        super().admit(row, request)
        self.rejected[row] = self.accepted[row] = 0

    def verify(self, target_log_probs: Tensor, proposal: Proposal) -> Verified:
        verified = super().verify(target_log_probs, proposal)
        self.rejected = proposal.lengths - verified.accepted
        self.accepted = verified.accepted
        return verified

    def within(self, positions: Tensor) -> Tensor:
        """Positions held where a window still fits into the cache."""
        return positions.clamp(min=0, max=self.cache.positions - self.width)

    def erase(self, positions: Tensor, *, where: Tensor) -> None:
        """Zero the cache at `positions` [rows, n] where [rows, n] is true."""
        rows = torch.arange(len(positions), device=positions.device)[:, None]
        for buffer in (*self.cache.keys, *self.cache.values):
            entries = buffer[rows, positions]
            buffer[rows, positions] = entries.masked_fill(where[..., None, None], 0.0)

    def written(self, proposal: Proposal) -> Tensor:
        """Positions of the last token and each draft, [rows, gamma + 1]."""
        slots = torch.arange(proposal.tokens.shape[1] + 1, device=self.rows.length.device)
        return self.rows.length[:, None] - 1 + slots


@fault("position-after-reject", family="F8", recreates="transformers #30042", caught_by="greedy")
class StartsEarly(RemembersRejection):
    """After a rejection the next window is written one position too far back."""

    def start(self) -> Tensor:
        """One less in these rows."""
        return self.within(super().start() - (self.rejected > 0).long())


@fault("cache-reset", family="F8", recreates="aprender #2014", caught_by="greedy")
class ResetsCache(RemembersRejection):
    """A rejection blanks the row's whole cache where it should be rolled back."""

    def commit(self, verified: Verified) -> None:
        super().commit(verified)
        for buffer in (*self.cache.keys, *self.cache.values):
            buffer[self.rejected > 0] = 0.0


@fault("no-trim", family="F8", recreates="mlx-lm #1109", caught_by="greedy")
class KeepsRejected(RemembersRejection):
    """Trimming does nothing: rejected drafts stay in the cache, before all that follows."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.kept = torch.zeros_like(self.rows.length)

    def admit(self, row: int, request: Request) -> None:
        """A new request starts with a clean cache."""
        self.kept[row] = 0
        super().admit(row, request)

    def commit(self, verified: Verified) -> None:
        """Commit, and count what was left behind."""
        super().commit(verified)
        self.kept += self.rejected

    def start(self) -> Tensor:
        """Behind everything that was ever written."""
        return self.within(super().start() + self.kept)


@fault(
    "ring-too-small",
    family="F8",
    recreates="sglang #33872",
    caught_by="greedy",
    engine="native:gamma=7",
    schedules=("repetitive",),
)
class ClobbersLateSlots(RemembersRejection):
    """Cache entries of the sixth and later slots of a window are lost."""

    def target_logits(self, proposal: Proposal) -> Tensor:
        logits = super().target_logits(proposal)
        positions = self.written(proposal)
        late = torch.arange(positions.shape[1], device=positions.device) >= 5
        self.erase(positions, where=late.expand_as(positions))
        return logits


@fault("full-reject-keeps-draft", family="F8", recreates="mlx-examples #149", caught_by="greedy")
class KeepsFirstRejected(RemembersRejection):
    """After a full rejection the first draft's cache entry stays in its replacement's place."""

    def target_logits(self, proposal: Proposal) -> Tensor:
        """Compute, then put the old entry back in these rows."""
        stale = (self.rejected > 0) & (self.accepted == 0)
        rows, place = torch.arange(len(stale), device=stale.device), self.start()
        buffers = (*self.cache.keys, *self.cache.values)
        before = [buffer[rows, place].clone() for buffer in buffers]
        logits = super().target_logits(proposal)
        for buffer, old in zip(buffers, before, strict=True):
            buffer[rows, place] = torch.where(stale[:, None, None], old, buffer[rows, place])
        return logits


@fault(
    "page-border",
    family="F8",
    recreates="vllm-rbln #399",
    caught_by="greedy",
    schedules=("borders",),
)
class LosesPageStarts(RemembersRejection):
    """A draft that is the first entry of a page is lost from the cache."""

    def target_logits(self, proposal: Proposal) -> Tensor:
        logits = super().target_logits(proposal)
        positions = self.written(proposal)
        drafts = torch.arange(positions.shape[1], device=positions.device) > 0
        self.erase(positions, where=drafts & (positions % PAGE == 0))
        return logits


@fault(
    "window-burst",
    family="F8",
    recreates="transformers #48280",
    caught_by="greedy",
    schedules=("borders",),
)
class OverwritesWindow(RemembersRejection):
    """Past a length of 96, each burst of drafts overwrites the entries 96 positions before it."""

    def target_logits(self, proposal: Proposal) -> Tensor:
        """Lose the oldest entries, then compute."""
        old = self.written(proposal) - RING
        self.erase(old.clamp(min=0), where=old >= 0)
        return super().target_logits(proposal)
