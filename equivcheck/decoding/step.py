"""One decoding step on the device: draft, verify, commit (Leviathan et al. 2023, algorithm 1).

Plain decoding is the step with no drafts.
"""

from __future__ import annotations

import torch
from torch import Tensor

from equivcheck.decoding.cache import StaticCache
from equivcheck.decoding.drafters import Drafter
from equivcheck.decoding.model import StaticModel
from equivcheck.decoding.outcome import pack, scores_of
from equivcheck.decoding.rows import Rows
from equivcheck.decoding.transforms import penalise_window, sharpen
from equivcheck.decoding.verification import Proposal, VerificationRule, Verified, meant


class DecodingStep:
    """The step of a batch; `Decoder` repeats it."""

    model: StaticModel
    drafter: Drafter | None
    rule: VerificationRule
    rows: Rows
    cache: StaticCache
    width: int
    fingerprint_weights: Tensor

    def speculate(self, *, gamma: int, unread: int) -> Tensor:
        """One decoding step on the device: draft, verify, commit.

        Returns:
            The packed outcome (`outcome.pack`).
        """
        proposal = self.propose(gamma=gamma, unread=unread)
        logits = self.target_logits(proposal)
        penalised = self.penalised(logits, proposal)
        verified = self.verify(self.sharpened(penalised), proposal)
        self.commit(verified)
        return self.outcome(verified, proposal, logits=logits, penalised=penalised)

    def propose(self, *, gamma: int, unread: int) -> Proposal:
        """Ask the drafter; with gamma 0 propose nothing."""
        if self.drafter is not None and gamma:
            return self.drafter.propose(self.rows, self.rule, gamma=gamma, unread=unread)
        return Proposal(self.rows.tokens[:, :0], torch.zeros_like(self.rows.length), None)

    def target_logits(self, proposal: Proposal) -> Tensor:
        """The target's logits behind the last token and each draft, [rows, gamma + 1, vocab].

        Those behind slots without a draft are junk; 0 where the step leaves such slots out.
        """
        live = proposal.tokens.shape[1] + 1
        width = live if self.model.backend.batch_invariant else self.width
        window = self.rows.window(proposal.tokens, width=width)
        wanted = self.wanted(proposal) if self.model.backend.ragged else None
        cache = self.cache.upto(self.rows.reach)
        return self.model.window_logits(window, self.start(), cache, wanted=wanted)[:, :live]

    def wanted(self, proposal: Proposal) -> Tensor:
        """Slots that a live row has use for, bool, [rows, gamma + 1]."""
        slots = proposal.tokens.shape[1] + 1
        return meant(proposal.lengths + 1, slots=slots) & (self.rows.remaining > 0)[:, None]

    def start(self) -> Tensor:
        """Position of each window's first token, [rows]: the last known one, not yet cached."""
        return self.rows.length - 1

    def penalised(self, logits: Tensor, proposal: Proposal) -> Tensor:
        """Logits after everything that comes before temperature, each slot by its own prefix."""
        return penalise_window(logits, self.rows.controls, self.rows.prefix, proposal.tokens)

    def sharpened(self, penalised: Tensor) -> Tensor:
        """The target's distributions: temperature and truncation on top."""
        return sharpen(penalised, self.rows.controls)

    def verify(self, target_log_probs: Tensor, proposal: Proposal) -> Verified:
        """Accept drafts and draw one token more."""
        return self.rule.verify(target_log_probs, proposal, self.rows)

    def commit(self, verified: Verified) -> None:
        """Move each row on by what was accepted; rejected entries stay behind the pointer."""
        self.rows.advance(verified.tokens, verified.accepted + 1)

    def outcome(
        self, verified: Verified, proposal: Proposal, *, logits: Tensor, penalised: Tensor
    ) -> Tensor:
        """What the host gets to see of a step."""
        emitted = meant(verified.accepted + 1, slots=verified.tokens.shape[1])
        scores = scores_of(
            verified.tokens,
            logits=logits,
            penalised=penalised,
            weights=self.fingerprint_weights,
            only=emitted if self.model.backend.ragged else None,
        )
        forecast = self.drafter.forecast(self.rows) if self.drafter else None
        return pack(verified, proposal, scores=scores, forecast=forecast)
