"""F12: penalties and biases do not see the tokens they should, or not in every slot."""

from __future__ import annotations

import torch
from torch import Tensor

from equivcheck.decoding.controls import SamplingControls
from equivcheck.decoding.decoder import Decoder
from equivcheck.decoding.transforms import penalise_window
from equivcheck.decoding.verification import Proposal, Verified
from equivcheck.faults.fault import fault
from equivcheck.faults.target_probs import with_other

PENALISED = ("penalised",)


def neutral(controls: SamplingControls) -> SamplingControls:
    """The same controls without penalties."""
    none = torch.zeros_like(controls.presence_penalty)
    return with_other(
        controls,
        repetition_penalty=torch.ones_like(none),
        presence_penalty=none,
        frequency_penalty=none,
    )


def unbiased(controls: SamplingControls) -> SamplingControls:
    """The same controls without biases."""
    return with_other(controls, bias=torch.zeros_like(controls.bias))


class OtherControls(Decoder):
    """Base: can compute the penalised logits under other controls."""

    def under(self, controls: SamplingControls, logits: Tensor, proposal: Proposal) -> Tensor:
        """Penalise each slot by its own prefix."""
        return penalise_window(logits, controls, self.rows.prefix, proposal.tokens)


@fault(
    "penalty-once-per-step",
    family="F12",
    recreates="sglang #33643",
    caught_by="logprobs",
    schedules=PENALISED,
)
class PenalisesOncePerStep(Decoder):
    """Penalties inside a verify window only know the tokens before it."""

    def penalised(self, logits: Tensor, proposal: Proposal) -> Tensor:
        """Penalise each slot as if no draft came before it."""
        slots = [
            penalise_window(slot[:, None], self.rows.controls, self.rows.prefix, proposal.tokens)
            for slot in logits.unbind(dim=1)
        ]
        return torch.cat(slots, dim=1)


@fault(
    "penalties-ignored",
    family="F12",
    recreates="TensorRT-LLM #17701",
    caught_by="greedy",
    schedules=PENALISED,
)
class IgnoresPenalties(OtherControls):
    """Penalties have no effect while drafts are verified."""

    def penalised(self, logits: Tensor, proposal: Proposal) -> Tensor:
        return self.under(neutral(self.rows.controls), logits, proposal)


@fault(
    "penalties-bonus-only",
    family="F12",
    recreates="sglang #28242",
    caught_by="greedy",
    schedules=PENALISED,
)
class PenalisesBonus(OtherControls):
    """Penalties reach the bonus slot only."""

    def penalised(self, logits: Tensor, proposal: Proposal) -> Tensor:
        """Leave all slots but the last without."""
        without = self.under(neutral(self.rows.controls), logits, proposal)
        return torch.cat([without[:, :-1], super().penalised(logits, proposal)[:, -1:]], dim=1)


@fault(
    "penalties-greedy-only",
    family="F12",
    recreates="vLLM #42744 (in kind)",
    caught_by="coupled",
    schedules=PENALISED,
)
class PenalisesGreedyRows(OtherControls):
    """Penalties, biases and bans do not reach verified drafts of sampled rows."""

    def penalised(self, logits: Tensor, proposal: Proposal) -> Tensor:
        """Leave all slots but the last of sampled rows as they are."""
        probs = super().penalised(logits, proposal)
        kept = torch.where(self.rows.controls.greedy[:, None, None], probs, logits)
        return torch.cat([kept[:, :-1], probs[:, -1:]], dim=1)


@fault(
    "rejected-counted",
    family="F12",
    recreates="vmlx-swift #357",
    caught_by="greedy",
    schedules=PENALISED,
)
class CountsRejected(Decoder):
    """A rejected draft counts as a token of the output."""

    def verify(self, target_log_probs: Tensor, proposal: Proposal) -> Verified:
        """Verify, then count what was rejected."""
        verified = super().verify(target_log_probs, proposal)
        slots = torch.arange(proposal.tokens.shape[1], device=proposal.tokens.device)
        drafted = slots < proposal.lengths[:, None]
        rejected = drafted & (slots >= verified.accepted[:, None])
        self.rows.counts.scatter_add_(1, proposal.tokens, rejected.to(self.rows.counts.dtype))
        return verified


@fault(
    "accepted-counted-twice",
    family="F12",
    recreates="vmlx-swift #357",
    caught_by="greedy",
    schedules=PENALISED,
)
class CountsAcceptedTwice(Decoder):
    """An accepted draft counts as two tokens of the output."""

    def verify(self, target_log_probs: Tensor, proposal: Proposal) -> Verified:
        """Verify, then count what was accepted once more."""
        verified = super().verify(target_log_probs, proposal)
        slots = torch.arange(proposal.tokens.shape[1], device=proposal.tokens.device)
        accepted = slots < verified.accepted[:, None]
        self.rows.counts.scatter_add_(1, proposal.tokens, accepted.to(self.rows.counts.dtype))
        return verified


@fault(
    "last-placeholder-only",
    family="F12",
    recreates="vLLM #30122",
    caught_by="greedy",
    schedules=PENALISED,
)
class CountsLastOnly(Decoder):
    """Of a block only the last token is entered into the counts."""

    def commit(self, verified: Verified) -> None:
        """Commit, then take the accepted drafts out of the counts again."""
        slots = torch.arange(verified.tokens.shape[1], device=verified.tokens.device)
        accepted = slots < verified.accepted[:, None]
        before = self.rows.counts.clone()
        super().commit(verified)
        self.rows.counts.scatter_add_(1, verified.tokens, -accepted.to(before.dtype))


@fault(
    "bias-first-slot-only",
    family="F12",
    recreates="sglang #10617",
    caught_by="greedy",
    schedules=PENALISED,
)
class BiasesFirstSlot(OtherControls):
    """A logit bias reaches the first slot of a window only."""

    def penalised(self, logits: Tensor, proposal: Proposal) -> Tensor:
        """Leave the other slots without."""
        without = self.under(unbiased(self.rows.controls), logits, proposal)
        return torch.cat([super().penalised(logits, proposal)[:, :1], without[:, 1:]], dim=1)


@fault(
    "bias-ignored",
    family="F12",
    recreates="vLLM #38202",
    caught_by="greedy",
    schedules=PENALISED,
)
class IgnoresBias(OtherControls):
    """A logit bias has no effect while drafts are verified."""

    def penalised(self, logits: Tensor, proposal: Proposal) -> Tensor:
        return self.under(unbiased(self.rows.controls), logits, proposal)
