"""F4: the target's distribution is not the one that was asked for in every slot."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from equivcheck.decoding.controls import SamplingControls
from equivcheck.decoding.decoder import Decoder
from equivcheck.decoding.transforms import sharpen
from equivcheck.decoding.verification import Proposal, Verified
from equivcheck.faults.fault import fault


def with_other(controls: SamplingControls, **tensors: Tensor) -> SamplingControls:
    """Controls that share all but some tensors."""
    other = copy.copy(controls)
    vars(other).update(tensors)
    return other


@fault("verify-greedy", family="F4", recreates="sglang #31214", caught_by="coupled")
class VerifiesGreedily(Decoder):
    """Takes the argmax in verified slots, as if the temperature were 0."""

    def verify(self, target_log_probs: Tensor, proposal: Proposal) -> Verified:
        """Make each distribution but the bonus token's a point mass."""
        best = target_log_probs[:, :-1].argmax(dim=-1, keepdim=True)
        certain = torch.full_like(target_log_probs[:, :-1], float("-inf")).scatter(2, best, 0.0)
        return super().verify(torch.cat([certain, target_log_probs[:, -1:]], dim=1), proposal)


@fault("temperature-bonus-only", family="F4", recreates="vLLM #10198", caught_by="coupled")
class ForgetsTemperature(Decoder):
    """Temperature reaches the bonus slot only; verified slots are judged at temperature 1."""

    def sharpened(self, penalised: Tensor) -> Tensor:
        """Take the temperature out of all slots but the last."""
        probs = super().sharpened(penalised)
        hot = probs[:, :-1] * self.rows.controls.safe_temperature[:, None, None]
        return torch.cat([hot, probs[:, -1:]], dim=1)


@fault("cuts-bonus-only", family="F4", recreates="vLLM #10198", caught_by="coupled")
class ForgetsCuts(Decoder):
    """Top-k, top-p and min-p reach the bonus slot only."""

    def sharpened(self, penalised: Tensor) -> Tensor:
        """Leave all slots but the last uncut."""
        uncut = penalised / self.rows.controls.safe_temperature[:, None, None]
        return torch.cat([uncut[:, :-1], super().sharpened(penalised)[:, -1:]], dim=1)


@fault("cuts-swapped", family="F4", recreates="sglang #36173", caught_by="coupled")
class SwapsCuts(Decoder):
    """Applies top-p before top-k."""

    def sharpened(self, penalised: Tensor) -> Tensor:
        """Cut by mass, then by rank."""
        controls = self.rows.controls
        every = torch.full_like(controls.top_k, controls.vocab)
        whole = torch.full_like(controls.top_p, 2.0)
        neutral = torch.ones_like(controls.safe_temperature)
        by_mass = sharpen(penalised, with_other(controls, top_k=every))
        return sharpen(by_mass, with_other(controls, top_p=whole, safe_temperature=neutral))


@fault("temperature-one", family="F4", recreates="lattice #388", caught_by="coupled")
class FixesTemperature(Decoder):
    """Every temperature above 0 is 1."""

    def sharpened(self, penalised: Tensor) -> Tensor:
        neutral = torch.ones_like(self.rows.controls.safe_temperature)
        return sharpen(penalised, with_other(self.rows.controls, safe_temperature=neutral))


@fault("probabilities-as-logits", family="F4", recreates="vllm-ascend #6685", caught_by="coupled")
class MistakesProbabilities(Decoder):
    """Verified slots take probabilities for logits, which flattens every distribution."""

    def sharpened(self, penalised: Tensor) -> Tensor:
        """Apply softmax once too often."""
        probs = super().sharpened(penalised)
        return torch.cat([probs[:, :-1].softmax(dim=-1), probs[:, -1:]], dim=1)
