"""F6: the token behind a fully accepted block is lost, doubled or drawn wrongly."""

from __future__ import annotations

import torch
from torch import Tensor

from equivcheck.decoding.decoder import Decoder
from equivcheck.decoding.outcome import RowOutcome
from equivcheck.decoding.verification import Proposal, Verified
from equivcheck.faults.fault import fault


@fault("bonus-lost", family="F6", recreates="vLLM #8320", caught_by="greedy")
class LosesBonus(Decoder):
    """After full acceptance the bonus token is decoded on from, but not emitted."""

    def step(self, gamma: int) -> list[RowOutcome]:
        """Drop it on the way out."""
        return [
            row._replace(tokens=row.tokens[:-1]) if 0 < row.drafted == row.accepted else row
            for row in super().step(gamma)
        ]


@fault("bonus-twice", family="F6", recreates="imp #667", caught_by="greedy")
class RepeatsBonus(Decoder):
    """After full acceptance the row is rolled back one token too far, so its last comes again."""

    def verify(self, target_log_probs: Tensor, proposal: Proposal) -> Verified:
        """Remember which rows accept everything."""
        verified = super().verify(target_log_probs, proposal)
        self.full = ((proposal.lengths > 0) & (verified.accepted == proposal.lengths)).long()
        return verified

    def commit(self, verified: Verified) -> None:
        """Commit, then step back in these rows."""
        super().commit(verified)
        self.rows.length -= self.full
        self.rows.generated -= self.full
        self.rows.remaining += self.full


@fault("bonus-from-slot-before", family="F6", recreates="TensorRT-LLM #15098", caught_by="greedy")
class ReadsBonusEarly(Decoder):
    """The bonus token is drawn from the distribution of the last draft's slot."""

    def verify(self, target_log_probs: Tensor, proposal: Proposal) -> Verified:
        """Put the distribution before the bonus slot into it."""
        slots = torch.arange(target_log_probs.shape[1], device=target_log_probs.device)
        lengths = proposal.lengths[:, None]
        source = torch.where((slots == lengths) & (lengths > 0), slots - 1, slots)
        index = source[..., None].expand(-1, -1, target_log_probs.shape[-1])
        return super().verify(target_log_probs.gather(1, index), proposal)


@fault("bonus-greedy", family="F6", recreates="mistral.rs #2424", caught_by="coupled")
class ChoosesBonusGreedily(Decoder):
    """The bonus token is the argmax whatever the temperature."""

    def verify(self, target_log_probs: Tensor, proposal: Proposal) -> Verified:
        """Make the last slot's distribution a point mass."""
        best = target_log_probs[:, -1:].argmax(dim=-1, keepdim=True)
        certain = torch.full_like(target_log_probs[:, -1:], float("-inf")).scatter(2, best, 0.0)
        return super().verify(torch.cat([target_log_probs[:, :-1], certain], dim=1), proposal)
