"""Rejection sampling a hair off: too little for thousands of tokens to show, and known by replay.

Each keeps the output within half a percent of the target's distribution. The noise being known, a
single token tells.
"""

from __future__ import annotations

import torch
from torch import Tensor

from equivcheck.decoding.rows import Rows
from equivcheck.decoding.verification import Proposal, RejectionRule, StepProbs, drafted_probs
from equivcheck.faults.sampling import coins, rule_fault

POWER = 0.97


@rule_fault(
    "acceptance-power",
    family="F1",
    recreates="sglang #7702 (in kind)",
    caught_by="replayed",
)
class AcceptsByPower(RejectionRule):
    """A draft is accepted with probability min(1, p/q) to the power .97."""

    def accepts(self, probs: StepProbs, proposal: Proposal, rows: Rows) -> Tensor:
        target, draft = drafted_probs(probs, proposal)
        coin = coins(rows, slots=proposal.tokens.shape[1])[..., 0]
        return coin < (target / draft) ** POWER


@rule_fault(
    "residual-bfloat16",
    family="F2",
    recreates="vLLM #46665 (in kind)",
    caught_by="replayed",
)
class RoundsResidual(RejectionRule):
    """The residual is computed in bfloat16."""

    def residual(self, probs: StepProbs) -> Tensor:
        """Round both distributions and their difference."""
        rounded = StepProbs(probs.target.to(torch.bfloat16), probs.draft.to(torch.bfloat16))
        return super().residual(rounded).to(probs.target.dtype)
