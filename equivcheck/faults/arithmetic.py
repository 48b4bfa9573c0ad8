"""F19: verified logits are not what plain decoding computes, in their last bits or in a tie."""

from __future__ import annotations

import torch
from torch import Tensor

from equivcheck.decoding.decoder import Decoder
from equivcheck.decoding.transforms import HIDDEN
from equivcheck.decoding.verification import Proposal, Verified, leading
from equivcheck.faults.fault import control, fault


@fault(
    "last-wins-ties",
    family="F19",
    recreates="lattice #280",
    caught_by="greedy",
    schedules=("ties",),
)
class TakesLastOfTie(Decoder):
    """In an exact tie the verifier's argmax takes the last token, plain decoding the first."""

    def verify(self, target_log_probs: Tensor, proposal: Proposal) -> Verified:
        """Take argmaxes from the end."""
        verified = super().verify(target_log_probs, proposal)
        last = target_log_probs.shape[-1] - 1 - target_log_probs.flip(-1).argmax(dim=-1)
        chosen = torch.where(self.rows.controls.greedy[:, None], last, verified.tokens)
        return Verified(chosen, leading(chosen[:, :-1] == proposal.tokens, proposal.lengths))


@fault(
    "tied-at-cut",
    family="F19",
    recreates="vLLM #50979",
    caught_by="coupled",
    schedules=("ties",),
)
class KeepsTies(Decoder):
    """Verified slots keep every token tied with the last that a cut keeps, plain decoding one."""

    def sharpened(self, penalised: Tensor) -> Tensor:
        """Cut by value in all slots but the last."""
        probs = super().sharpened(penalised)
        scaled = penalised / self.rows.controls.safe_temperature[:, None, None]
        border = torch.where(probs > HIDDEN, scaled, torch.inf).amin(dim=-1, keepdim=True)
        tied = torch.where(scaled == border, scaled, probs)
        return torch.cat([tied[:, :-1], probs[:, -1:]], dim=1)


@fault("verify-in-bf16", family="F19", recreates="vLLM #54506", caught_by="greedy")
class VerifiesInBf16(Decoder):
    """Verified logits are rounded to bf16, those of plain decoding are not."""

    def target_logits(self, proposal: Proposal) -> Tensor:
        logits = super().target_logits(proposal)
        return logits.bfloat16().float() if proposal.tokens.shape[1] else logits


def noisy(logits: Tensor, *, first_up: bool = True) -> Tensor:
    """Step each logit to the next number that its dtype has, up or down by turns."""
    up = (torch.arange(logits.shape[-1], device=logits.device) % 2 == 0) == first_up
    limit = torch.where(up, torch.inf, -torch.inf).to(logits.dtype)
    return torch.nextafter(logits, limit.expand_as(logits))


@fault("ulp-noise", family="F19", recreates="vLLM #54506", caught_by="greedy")
class AddsUlpNoise(Decoder):
    """Verified logits are off by one unit in the last place, though identical bits are promised."""

    def target_logits(self, proposal: Proposal) -> Tensor:
        """Add noise where drafts are verified."""
        logits = super().target_logits(proposal)
        return noisy(logits) if proposal.tokens.shape[1] else logits


@control("unpromised-noise", schedules=("noisy",), engine="native:gamma=4,width=5,kernels=library")
class AddsUnpromisedNoise(Decoder):
    """Noise of a unit in the last place where nobody promises identical bits: not a bug."""

    def target_logits(self, proposal: Proposal) -> Tensor:
        """Add noise of bf16, another to plain decoding: so much the control arm has as well."""
        logits = super().target_logits(proposal).bfloat16()
        return noisy(logits, first_up=self.drafter is None).float()
