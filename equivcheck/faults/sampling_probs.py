"""Rejection sampling by wrong distributions: a q that was not drawn from, or a p slightly off."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import torch
from torch import Tensor

from equivcheck.decoding.decoder import Decoder
from equivcheck.decoding.rows import Rows
from equivcheck.decoding.transforms import HIDDEN, sharpen
from equivcheck.decoding.verification import Proposal, RejectionRule, Verified
from equivcheck.faults.fault import fault
from equivcheck.faults.sampling import ENGINE, OtherRule, rule_fault
from equivcheck.faults.target_probs import with_other

NUCLEUS = 0.9 / 0.95
"""What a wrong top-p is of the right one."""


@rule_fault("greedy-draft-soft-law", family="F3", recreates="transformers #32867")
class DraftsGreedily(RejectionRule):
    """Drafts are argmaxes, and are judged as if they had been drawn."""

    def draw(self, log_probs: Tensor, rows: Rows, positions: Tensor) -> Tensor:
        return log_probs.argmax(dim=-1)


class DrawsCut(RejectionRule):
    """Cuts a draft distribution before it draws from it."""

    def draw(self, log_probs: Tensor, rows: Rows, positions: Tensor) -> Tensor:
        """Cut; the temperature is in already."""
        controls = with_other(
            rows.controls, safe_temperature=torch.ones_like(rows.controls.safe_temperature)
        )
        controls.features = dataclasses.replace(controls.features, truncated=True)
        return super().draw(sharpen(log_probs, controls), rows, positions)


@fault(
    "raw-draft-law",
    family="F3",
    recreates="transformers #47932",
    caught_by="sampled",
    engine=ENGINE,
)
class ReportsRawProbs(OtherRule):
    """Drafts are drawn from the distribution that is cut, and the uncut one is reported."""

    broken = DrawsCut

    def propose(self, *, gamma: int, unread: int) -> Proposal:
        """Let the drafter cut nothing; drawing from its distribution does."""
        controls = self.rows.controls
        features = controls.features
        controls.features = dataclasses.replace(features, truncated=False)
        try:
            return super().propose(gamma=gamma, unread=unread)
        finally:
            controls.features = features


@rule_fault("law-of-slot-before", family="F7", recreates="openvino.genai #4190")
class ReadsSlotBefore(RejectionRule):
    """Each slot but the first is judged by the target's distribution of the slot before it."""

    def verify(self, log_probs: Tensor, proposal: Proposal, rows: Rows) -> Verified:
        """Shift the distributions by one."""
        return super().verify(
            torch.cat([log_probs[:, :1], log_probs[:, :-1]], dim=1), proposal, rows
        )


@fault(
    "bonus-from-draft",
    family="F6",
    recreates="lattice #243 (in the bonus slot)",
    caught_by="sampled",
    engine=ENGINE,
)
class TakesBonusFromDraft(Decoder):
    """After full acceptance the drafter's next token is committed in place of the target's."""

    def propose(self, *, gamma: int, unread: int) -> Proposal:
        """Draft one token more and put it aside."""
        longer = super().propose(gamma=gamma + 1, unread=unread) if gamma else None
        if longer is None or longer.log_probs is None:
            return super().propose(gamma=gamma, unread=unread)
        self.drafted = longer.tokens
        lengths = longer.lengths.clamp(max=gamma)
        return Proposal(longer.tokens[:, :-1], lengths, longer.log_probs[:, :-1])

    def verify(self, target_log_probs: Tensor, proposal: Proposal) -> Verified:
        """Verify, then take the draft behind what was accepted in full."""
        verified = super().verify(target_log_probs, proposal)
        if proposal.log_probs is None:
            return verified
        full = (verified.accepted == proposal.lengths)[:, None]
        slots = torch.arange(verified.tokens.shape[1], device=full.device)
        bonus = full & (slots == proposal.lengths[:, None])
        return verified._replace(tokens=torch.where(bonus, self.drafted, verified.tokens))


class Heats(Decoder):
    """Base: the target's temperature is off by a factor."""

    factor: ClassVar[float]

    def sharpened(self, penalised: Tensor) -> Tensor:
        """Flatten the logits a little."""
        return super().sharpened(penalised / self.factor)


@fault(
    "temperature-5",
    family="F4",
    recreates="lattice #974 (by a twentieth)",
    caught_by="sampled",
    engine=ENGINE,
)
class HeatsFivePercent(Heats):
    """The target's temperature is 5 % too high."""

    factor = 1.05


@fault(
    "temperature-2",
    family="F4",
    recreates="lattice #974 (by a fiftieth)",
    caught_by="sampled",
    engine=ENGINE,
    draws=60_000,
)
class HeatsTwoPercent(Heats):
    """The target's temperature is 2 % too high."""

    factor = 1.02


@fault(
    "nucleus-too-small",
    family="F4",
    recreates="sglang #36173 (in kind)",
    caught_by="sampled",
    engine=ENGINE,
)
class ShrinksNucleus(Decoder):
    """The target's top-p is .90 where .95 was asked for, and in proportion elsewhere."""

    def sharpened(self, penalised: Tensor) -> Tensor:
        """Cut at a smaller mass."""
        controls = self.rows.controls
        top_p = torch.where(controls.top_p < 1.0, controls.top_p * NUCLEUS, controls.top_p)
        return sharpen(penalised, with_other(controls, top_p=top_p))


@fault(
    "nucleus-ignored",
    family="F4",
    recreates="sglang #10617 (top-p)",
    caught_by="sampled",
    engine=ENGINE,
)
class IgnoresNucleus(Decoder):
    """Top-p does not reach the target."""

    def sharpened(self, penalised: Tensor) -> Tensor:
        whole = torch.full_like(self.rows.controls.top_p, 2.0)
        return sharpen(penalised, with_other(self.rows.controls, top_p=whole))


@fault(
    "nucleus-one-short",
    family="F4",
    recreates="fish-speech #1171",
    caught_by="sampled",
    engine=ENGINE,
)
class DropsCrossingToken(Decoder):
    """The target's nucleus lacks the token with which it reaches top-p."""

    def sharpened(self, penalised: Tensor) -> Tensor:
        """Hide the least likely token kept, unless it is the only one."""
        probs = super().sharpened(penalised)
        kept = probs > HIDDEN
        least = torch.where(kept, probs, torch.inf).argmin(dim=-1, keepdim=True)
        short = kept.sum(dim=-1, keepdim=True) > 1
        short &= (self.rows.controls.top_p < 1.0)[:, None, None]
        return probs.scatter(-1, least, torch.where(short, HIDDEN, probs.gather(-1, least)))
