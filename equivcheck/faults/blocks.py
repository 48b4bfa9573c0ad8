"""Block verification done wrongly, or not at all: the rule `block` with a method overridden.

The rule is Sun et al. 2024 (arXiv 2403.10444). Only outputs that are sampled show it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from equivcheck.decoding.rows import Rows
from equivcheck.decoding.verification import (
    BlockRule,
    Proposal,
    RejectionRule,
    StepProbs,
    Verified,
    drafted_probs,
)
from equivcheck.faults.sampling import coins, rule_fault

BLOCK = "native:gamma=4,rule=block"


class PlainResidual(BlockRule):
    """Base: replaces from max(p - q, 0), as if nothing had been carried."""

    def closed(
        self, probs: StepProbs, proposal: Proposal, rows: Rows, *, accepted: Tensor
    ) -> Verified:
        """Take p as it was before it was carried: its rows sum to 1."""
        whole = probs.target / probs.target.sum(dim=-1, keepdim=True)
        probs = probs._replace(target=torch.nan_to_num(whole))
        return super().closed(probs, proposal, rows, accepted=accepted)


@rule_fault(
    "block-residual-of-token",
    family="F2",
    recreates="vllm-ascend #7807 (its replacements)",
    caught_by="replayed",
    engine=BLOCK,
)
class RecoversAsToken(PlainResidual):
    """The token behind the accepted drafts is drawn from max(p - q, 0), p not being carried."""


@rule_fault("block-coins-of-tokens", family="F1", recreates="vllm-ascend #7807", engine=BLOCK)
class TossesForTokens(PlainResidual):
    """A block is accepted up to the last draft that the token-level coin lets pass."""

    def passes(self, carried: StepProbs, joint: Tensor, rows: Rows) -> Tensor:
        """Judge each draft by itself."""
        return coins(rows, slots=joint.shape[1] - 1)[..., 0] < self.alone

    def joint(self, probs: StepProbs, proposal: Proposal) -> Tensor:
        """Keep p/q of each draft for its coin."""
        target, draft = drafted_probs(probs, proposal)
        self.alone = target / draft
        return super().joint(probs, proposal)


@rule_fault(
    "block-coins-multiplied", family="F1", recreates="vllm-ascend #7807 (its code)", engine=BLOCK
)
class MultipliesCoins(PlainResidual):
    """A prefix passes where the product of its coins is no more than that of p/q."""

    def passes(self, carried: StepProbs, joint: Tensor, rows: Rows) -> Tensor:
        return coins(rows, slots=joint.shape[1] - 1)[..., 0].cumprod(dim=1) <= joint[:, 1:]


@rule_fault(
    "block-product-not-carried",
    family="F1",
    recreates="vllm-ascend #7807 (in kind)",
    engine=BLOCK,
)
class CarriesNothing(BlockRule):
    """What a prefix carries on is min(1, p/q) of its last draft alone."""

    def joint(self, probs: StepProbs, proposal: Proposal) -> Tensor:
        target, draft = drafted_probs(probs, proposal)
        alone = (target / draft).clamp(max=1.0)
        return torch.nn.functional.pad(alone, (1, 0), value=1.0)


@rule_fault(
    "block-product-not-capped", family="F1", recreates="vllm-ascend #7603 (in kind)", engine=BLOCK
)
class CapsNothing(BlockRule):
    """The product of p/q is carried on above 1, too, and cut only where a coin is tossed."""

    def joint(self, probs: StepProbs, proposal: Proposal) -> Tensor:
        """Multiply without a bound between."""
        target, draft = drafted_probs(probs, proposal)
        product = (target / draft).cumprod(dim=1)
        return torch.nn.functional.pad(product, (1, 0), value=1.0)

    def passes(self, carried: StepProbs, joint: Tensor, rows: Rows) -> Tensor:
        return super().passes(carried, joint.clamp(max=1.0), rows)


@rule_fault(
    "block-up-to-first-miss", family="F1", recreates="vllm-ascend #11985 (a review)", engine=BLOCK
)
class StopsAtFirstMiss(BlockRule):
    """The block ends before the first prefix that does not pass, though a longer one would."""

    def passes(self, carried: StepProbs, joint: Tensor, rows: Rows) -> Tensor:
        """Let nothing pass behind a miss."""
        return super().passes(carried, joint, rows).long().cumprod(dim=1).bool()


@rule_fault("block-one-coin", family="F5", recreates="vLLM #13196 (in kind)", engine=BLOCK)
class TossesOnceForAll(BlockRule):
    """One coin decides about all prefixes of a block."""

    def passes(self, carried: StepProbs, joint: Tensor, rows: Rows) -> Tensor:
        """Take the first slot's coin for all."""
        left = self.left(carried)[:, 1:]
        return coins(rows, slots=1)[..., 0] * (left + (1.0 - joint[:, 1:])) < left


@rule_fault(
    "block-last-without-weight", family="F6", recreates="vllm-ascend #7807 (in kind)", engine=BLOCK
)
class ForgetsLastWeight(BlockRule):
    """The whole block is accepted by p/q of its last draft, whatever was carried up to it."""

    def joint(self, probs: StepProbs, proposal: Proposal) -> Tensor:
        """Put the last draft's own ratio where the product has to be."""
        product = super().joint(probs, proposal)
        target, draft = drafted_probs(probs, proposal)
        alone = torch.nn.functional.pad((target / draft).clamp(max=1.0), (1, 0), value=1.0)
        slots = torch.arange(product.shape[1], device=product.device)
        return torch.where(slots == proposal.lengths[:, None], alone, product)


@rule_fault(
    "block-option-ignored",
    family="F1",
    recreates="vllm-ascend #15673",
    caught_by="replayed",
    breaks="interface",
    engine=BLOCK,
)
class IgnoresBlock(RejectionRule):
    """Drafts are judged one by one, though block verification was asked for and is declared."""


@rule_fault(
    "block-undeclared",
    family="F1",
    recreates="vLLM #46781 (declared as before it)",
    caught_by="replayed",
    breaks="interface",
)
class HidesBlock(BlockRule):
    """Blocks are verified as a whole, and declared to be token by token."""
