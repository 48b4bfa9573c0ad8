"""Faults that leave the output alone, and controls: what must not be called a wrong output."""

from __future__ import annotations

import torch
from torch import Tensor

from equivcheck.decoding.decoder import Decoder
from equivcheck.decoding.drafters import ModelDrafter
from equivcheck.decoding.verification import Proposal


class ForgetsDraftCache(Decoder):
    """Lets the draft model see the latest tokens only: acceptance suffers, the output does not."""

    def propose(self, *, gamma: int, unread: int) -> Proposal:
        """Blank the draft model's cache before every step."""
        if isinstance(self.drafter, ModelDrafter):
            for buffer in (*self.drafter.cache.keys, *self.drafter.cache.values):
                buffer.zero_()
        return super().propose(gamma=gamma, unread=unread)


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
