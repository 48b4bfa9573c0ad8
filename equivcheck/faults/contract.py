"""Faults that leave the output alone, and controls: what must not be called a wrong output."""

from __future__ import annotations

import torch
from torch import Tensor

from equivcheck.decoding.decoder import Decoder
from equivcheck.decoding.drafters import ModelDrafter
from equivcheck.decoding.verification import Proposal


class MisplacesDraft(Decoder):
    """Lets the draft model read everything one position too late: only acceptance suffers."""

    def propose(self, *, gamma: int, unread: int) -> Proposal:
        """Shift the draft model's rotary tables while it drafts."""
        if not isinstance(self.drafter, ModelDrafter):
            return super().propose(gamma=gamma, unread=unread)
        model = self.drafter.model
        tables = model.cosines, model.sines
        model.cosines, model.sines = (table.roll(-1, dims=0) for table in tables)
        try:
            return super().propose(gamma=gamma, unread=unread)
        finally:
            model.cosines, model.sines = tables


class NeverDrafts(Decoder):
    """Accepts the options of speculation and decodes plainly."""

    def propose(self, *, gamma: int, unread: int) -> Proposal:
        """Ask nobody."""
        return super().propose(gamma=0, unread=unread)


class AddsUlpNoise(Decoder):
    """Moves every logit of a verify step by one unit in the last place: arithmetic, not a bug."""

    def target_logits(self, proposal: Proposal) -> Tensor:
        """Step each logit to the next representable number, up or down by turns."""
        logits = super().target_logits(proposal)
        if not proposal.tokens.shape[1]:
            return logits
        up = torch.arange(logits.shape[-1], device=logits.device) % 2 == 0
        return torch.nextafter(logits, torch.where(up, torch.inf, -torch.inf))
