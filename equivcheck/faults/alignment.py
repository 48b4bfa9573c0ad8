"""F7: what belongs to one row, slot or position is taken for another's."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from equivcheck.decoding.cache import StaticCache
from equivcheck.decoding.decoder import Decoder
from equivcheck.decoding.model import StaticModel
from equivcheck.decoding.prefill import BLOCK, Prefill, chunk_on
from equivcheck.decoding.verification import Proposal, Verified
from equivcheck.faults.fault import fault


@fault("row-off-by-one", family="F7", recreates="TensorRT-LLM #15098", caught_by="greedy")
class ReadsNextRow(Decoder):
    """Verifies a draft against the logits of the next slot."""

    def target_logits(self, proposal: Proposal) -> Tensor:
        """Shift all slots but the last by one."""
        logits = super().target_logits(proposal)
        return torch.cat([logits[:, 1:], logits[:, -1:]], dim=1)


@fault(
    "ragged-offsets",
    family="F7",
    recreates="FastDeploy #6685",
    caught_by="greedy",
    engine="native:gamma=4,drafter=lookup",
)
class MiscountsRagged(Decoder):
    """A row's logits start too late by what the row before it has drafted short of gamma."""

    def target_logits(self, proposal: Proposal) -> Tensor:
        """Shift each row's slots by its neighbour's shortage."""
        logits = super().target_logits(proposal)
        shortage = (proposal.tokens.shape[1] - proposal.lengths).roll(1)
        shortage[0] = 0
        slots = torch.arange(logits.shape[1], device=logits.device) + shortage[:, None]
        index = slots.clamp(max=logits.shape[1] - 1)[..., None].expand_as(logits)
        return logits.gather(1, index)


class FrozenRows(Prefill):
    """Writes every chunk to the rows of the first; of one shape, as where reading is recorded."""

    first: Tensor | None = None

    def __init__(self, model: StaticModel, cache: StaticCache, *, together: bool) -> None:
        super().__init__(model, cache, together=together)
        self.whole, self.size = True, chunk_on(model.device) // BLOCK
        self.places = self.places[:, : self.size]

    def into(self, rows: Tensor) -> StaticCache:
        """Put blocks where the first ones were put."""
        self.first = rows.clone() if self.first is None else self.first
        return super().into(self.first)


@fault("prefill-rows-frozen", family="F7", recreates="tt-metal #56095", caught_by="greedy")
class ReplaysRows(Decoder):
    """Prompts are written to the rows that were read when reading was recorded."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.prefill = FrozenRows(self.model, self.cache, together=self.prefill.together)


@fault("rows-beyond-two", family="F7", recreates="1Cat-vLLM #656", caught_by="coupled")
class ConfusesLateRows(Decoder):
    """At a temperature, rows from the third on are judged by the distribution of the row before."""

    def verify(self, target_log_probs: Tensor, proposal: Proposal) -> Verified:
        """Shift the distributions of these rows."""
        late = torch.arange(len(target_log_probs), device=target_log_probs.device) >= 2
        shifted = (late & ~self.rows.controls.greedy)[:, None, None]
        return super().verify(
            torch.where(shifted, target_log_probs.roll(1, dims=0), target_log_probs), proposal
        )


@fault(
    "position-for-id",
    family="F7",
    recreates="vllm-ascend #16430",
    caught_by="greedy",
    schedules=("mixed",),
)
class ReturnsPosition(Decoder):
    """In a mixed batch a greedy row's replacement is a slot number where an id should be."""

    def verify(self, target_log_probs: Tensor, proposal: Proposal) -> Verified:
        """Verify, then write the slot in the place of the token."""
        verified = super().verify(target_log_probs, proposal)
        controls = self.rows.controls
        if not controls.features.random or controls.features.all_random:
            return verified
        wrong = controls.greedy & (verified.accepted < proposal.lengths)
        end = verified.accepted[:, None]
        token = torch.where(wrong[:, None], end, verified.tokens.gather(1, end))
        return Verified(verified.tokens.scatter(1, end, token), verified.accepted)
