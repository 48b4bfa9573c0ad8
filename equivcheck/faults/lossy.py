"""F21: modes that trade the target's distribution for speed on purpose, which are not lossless."""

from __future__ import annotations

import torch
from torch import Tensor

from equivcheck.decoding.decoder import Decoder
from equivcheck.decoding.transforms import probabilities
from equivcheck.decoding.verification import Proposal, Verified, leading
from equivcheck.faults.fault import fault
from equivcheck.faults.verification import accept

FEW = 4
"""How many of the target's best tokens relaxed acceptance lets pass."""
EPSILON, DELTA = 0.09, 0.3
"""Typical acceptance: accept p(d) > min(epsilon, delta * exp(-entropy)) (Cai et al. 2024)."""


@fault(
    "relaxed-acceptance",
    family="F21",
    recreates="sglang #22238",
    caught_by="greedy",
    label="lossy",
)
class RelaxesAcceptance(Decoder):
    """A draft passes if it is among the target's four best tokens."""

    def verify(self, target_log_probs: Tensor, proposal: Proposal) -> Verified:
        best = target_log_probs[:, :-1].topk(FEW, dim=-1).indices
        hits = (best == proposal.tokens[..., None]).any(dim=-1)
        count = leading(hits, proposal.lengths)
        return accept(super().verify(target_log_probs, proposal), proposal, count=count)


@fault(
    "typical-acceptance",
    family="F21",
    recreates="vLLM #5131",
    caught_by="coupled",
    label="lossy",
)
class AcceptsTypical(Decoder):
    """A draft passes if it is not too surprising for the target's entropy."""

    def verify(self, target_log_probs: Tensor, proposal: Proposal) -> Verified:
        """Accept by probability and entropy."""
        verified = super().verify(target_log_probs, proposal)
        probs = probabilities(target_log_probs[:, :-1], self.rows.controls)
        entropy = -torch.xlogy(probs, probs).sum(dim=-1)
        limit = (DELTA * (-entropy).exp()).clamp(max=EPSILON)
        hits = probs.gather(2, proposal.tokens[..., None])[..., 0] > limit
        count = torch.maximum(verified.accepted, leading(hits, proposal.lengths))
        return accept(verified, proposal, count=count)
