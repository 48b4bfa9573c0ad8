"""Faults in verifying: the wrong token is accepted, or the right one is judged by wrong logits."""

from __future__ import annotations

import torch
from torch import Tensor

from equivcheck.decoding.decoder import Decoder
from equivcheck.decoding.transforms import penalise_window
from equivcheck.decoding.verification import Proposal, Verified


class SkipsFirstCheck(Decoder):
    """Commits the first draft unseen."""

    def verify(self, target_law: Tensor, proposal: Proposal) -> Verified:
        """Verify, then accept slot 0 whatever came out."""
        verified = super().verify(target_law, proposal)
        if not proposal.tokens.shape[1]:
            return verified
        drafted = proposal.lengths > 0
        tokens = verified.tokens.clone()
        tokens[:, 0] = torch.where(drafted, proposal.tokens[:, 0], tokens[:, 0])
        return Verified(tokens, torch.where(drafted, verified.accepted.clamp(min=1), 0))


class ReadsNextRow(Decoder):
    """Verifies slot i against the logits of slot i + 1."""

    def target_logits(self, proposal: Proposal) -> Tensor:
        """Shift all slots but the last by one."""
        logits = super().target_logits(proposal)
        return torch.cat([logits[:, 1:], logits[:, -1:]], dim=1)


class VerifiesGreedily(Decoder):
    """Takes the argmax in verified slots, as if the temperature were 0."""

    def verify(self, target_law: Tensor, proposal: Proposal) -> Verified:
        """Make each law but the bonus token's a point mass."""
        best = target_law[:, :-1].argmax(dim=-1, keepdim=True)
        certain = torch.full_like(target_law[:, :-1], float("-inf")).scatter(2, best, 0.0)
        return super().verify(torch.cat([certain, target_law[:, -1:]], dim=1), proposal)


class PenalisesOncePerStep(Decoder):
    """Judges every slot of a window by the prefix of the first."""

    def penalised(self, logits: Tensor, proposal: Proposal) -> Tensor:
        """Penalise each slot as if no draft came before it."""
        slots = [
            penalise_window(slot[:, None], self.rows.controls, self.rows.prefix, proposal.tokens)
            for slot in logits.unbind(dim=1)
        ]
        return torch.cat(slots, dim=1)


class ForgetsToRollBack(Decoder):
    """After a rejection reads the replacement token one position early in the cache."""

    def commit(self, verified: Verified) -> None:
        """Remember which rows had a rejection."""
        self.rejected = verified.accepted + 1 < verified.tokens.shape[1]
        super().commit(verified)

    def target_logits(self, proposal: Proposal) -> Tensor:
        """Run the window from a position that is off by one in these rows."""
        off = getattr(self, "rejected", torch.zeros_like(self.rows.length, dtype=torch.bool))
        start = (self.rows.length - 1 - off.long()).clamp(min=0)
        window = self.rows.window(proposal.tokens, width=self.width)
        hidden = self.model.forward(window, start, self.cache)
        return self.model.logits(hidden)[:, : proposal.tokens.shape[1] + 1]
