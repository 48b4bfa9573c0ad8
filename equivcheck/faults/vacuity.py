"""F23: speculation does not run. What was never drafted was never tested, and cannot pass."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from equivcheck.core.generation import Request
from equivcheck.decoding.decoder import Decoder
from equivcheck.decoding.verification import Proposal, Verified
from equivcheck.faults.fault import fault


@fault(
    "never-drafts",
    family="F23",
    recreates="mlx-lm #1297",
    breaks="speed",
    caught_by="engaged",
)
class NeverDrafts(Decoder):
    """The drafter is loaded but never asked."""

    def propose(self, *, gamma: int, unread: int) -> Proposal:
        return super().propose(gamma=0, unread=unread)


@fault(
    "falls-back",
    family="F23",
    recreates="vllm-metal #766",
    breaks="speed",
    caught_by="engaged",
    schedules=("plain", "repetitive"),
)
class FallsBack(Decoder):
    """After the first batch the decoder quietly falls back to plain decoding."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.served = 0

    def admit(self, row: int, request: Request) -> None:
        self.served += 1
        super().admit(row, request)

    def propose(self, *, gamma: int, unread: int) -> Proposal:
        """Ask the drafter while the batch is the first, after the request to warm up with."""
        first = self.served <= 1 + len(self.seats)
        return super().propose(gamma=gamma if first else 0, unread=unread)


@fault(
    "sampling-disables-drafting",
    family="F23",
    recreates="vLLM #34497",
    breaks="speed",
    caught_by="engaged",
    schedules=("plain", "sampled"),
)
class DraftsGreedyOnly(Decoder):
    """One request with a temperature switches speculation off for the whole batch."""

    def propose(self, *, gamma: int, unread: int) -> Proposal:
        """Ask only where no row is random."""
        greedy = not self.rows.controls.features.random
        return super().propose(gamma=gamma if greedy else 0, unread=unread)


@fault(
    "never-accepts-sampled",
    family="F23",
    recreates="astronomical #335",
    breaks="speed",
    caught_by="engaged",
    schedules=("plain", "sampled"),
)
class AcceptsGreedyOnly(Decoder):
    """Every draft for a request with a temperature is rejected."""

    def verify(self, target_log_probs: Tensor, proposal: Proposal) -> Verified:
        """Draw as if nothing had been drafted there, which keeps the target's distribution."""
        greedy = self.rows.controls.greedy
        lengths = torch.where(greedy, proposal.lengths, torch.zeros_like(proposal.lengths))
        return super().verify(target_log_probs, proposal._replace(lengths=lengths))
