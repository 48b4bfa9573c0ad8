"""F1: the wrong drafts are accepted."""

from __future__ import annotations

import torch
from torch import Tensor

from equivcheck.decoding.decoder import Decoder
from equivcheck.decoding.verification import Proposal, Verified
from equivcheck.faults.fault import fault


def accept(verified: Verified, proposal: Proposal, *, count: Tensor) -> Verified:
    """Accept the first `count` [rows] drafts, whatever the rule has decided."""
    drafts = torch.nn.functional.pad(proposal.tokens, (0, 1))
    slots = torch.arange(drafts.shape[1], device=drafts.device)
    return Verified(torch.where(slots < count[:, None], drafts, verified.tokens), count)


@fault("skip-first-check", family="F1", recreates="lattice #243", caught_by="greedy")
class SkipsFirstCheck(Decoder):
    """Commits the first draft of a step without verifying it."""

    def verify(self, target_log_probs: Tensor, proposal: Proposal) -> Verified:
        """Verify, then accept slot 0 whatever came out."""
        verified = super().verify(target_log_probs, proposal)
        count = torch.maximum(verified.accepted, proposal.lengths.clamp(max=1))
        return accept(verified, proposal, count=count)


@fault("accept-all", family="F1", recreates="transformers #28508", caught_by="greedy")
class AcceptsAll(Decoder):
    """Counts every draft as a match."""

    def verify(self, target_log_probs: Tensor, proposal: Proposal) -> Verified:
        return accept(super().verify(target_log_probs, proposal), proposal, count=proposal.lengths)


@fault("block-by-last-match", family="F1", recreates="vllm-ascend #7808", caught_by="greedy")
class AcceptsUpToLastMatch(Decoder):
    """Accepts a block up to its last matching draft, mismatches before it included."""

    def verify(self, target_log_probs: Tensor, proposal: Proposal) -> Verified:
        """Look for the last match in place of the first miss."""
        verified = super().verify(target_log_probs, proposal)
        slots = torch.arange(1, proposal.tokens.shape[1] + 1, device=proposal.tokens.device)
        hits = (verified.tokens[:, :-1] == proposal.tokens) & (slots <= proposal.lengths[:, None])
        last = (hits * slots).amax(dim=1) if hits.shape[1] else verified.accepted
        return accept(verified, proposal, count=last)
