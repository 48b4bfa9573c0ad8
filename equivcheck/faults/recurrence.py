"""F9: a recurrent layer's state is not rolled back. The layer is a toy; its life is the real one's.

The state is a decaying memory of the tokens read, [rows, vocab], and damps what was read lately. A
state cannot be cut back by moving a pointer: it has to be kept for every slot of a window.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from equivcheck.core.generation import Request
from equivcheck.decoding.decoder import Decoder
from equivcheck.decoding.verification import Proposal, Verified
from equivcheck.faults.fault import control, fault

DECAY = 0.75
STRENGTH = 4.0
TARGET = "native:gamma=0,fault=recurrent"
"""What these faults are compared with: the same layer, decoding plainly."""
SCHEDULE = ("recurrent",)
LOOKUP = "native:gamma=4,drafter=lookup"


@control("recurrent", schedules=SCHEDULE, engine=LOOKUP)
class Recurrent(Decoder):
    """A target with a recurrent layer whose state is restored after every rejection."""

    def __init__(self, *args: Any, **options: Any) -> None:
        """Start with blank states, one for each slot of the last window."""
        super().__init__(*args, **options)
        self.states = torch.zeros_like(self.rows.counts)[:, None]
        self.slot = torch.zeros_like(self.rows.length)

    def admit(self, row: int, request: Request) -> None:
        """Read the prompt but for its last token, as the attention layers do."""
        super().admit(row, request)
        state = torch.zeros_like(self.rows.counts[0])
        for token in request.prompt_ids[:-1]:
            state = DECAY * state + F.one_hot(torch.tensor(token), len(state))
        self.states[row] = state
        self.slot[row] = 0

    def slot_to_read(self, proposal: Proposal) -> Tensor:
        """Slot of the last window whose state is the current one, [rows]."""
        del proposal
        return self.slot

    def target_logits(self, proposal: Proposal) -> Tensor:
        """Pass the window through the memory, keeping the state of each slot."""
        logits = super().target_logits(proposal)
        slot = self.slot_to_read(proposal).clamp(max=self.states.shape[1] - 1)
        state = self.states[torch.arange(len(slot), device=slot.device), slot]
        states = []
        for token in torch.cat([self.rows.latest(1), proposal.tokens], dim=1).unbind(dim=1):
            state = DECAY * state + F.one_hot(token, state.shape[1])
            states.append(state)
        self.states = torch.stack(states, dim=1)
        return logits - STRENGTH * self.states

    def commit(self, verified: Verified) -> None:
        """The state behind the last accepted draft is the one to go on from."""
        super().commit(verified)
        self.slot = verified.accepted


@fault(
    "state-not-restored",
    family="F9",
    recreates="tpu-inference #3178",
    caught_by="greedy",
    schedules=SCHEDULE,
)
class KeepsState(Recurrent):
    """A recurrent state that has read rejected drafts is kept."""

    def commit(self, verified: Verified) -> None:
        """Go on from the last slot."""
        super().commit(verified)
        self.slot = torch.full_like(self.slot, verified.tokens.shape[1] - 1)


@fault(
    "state-restored-on-full-reject",
    family="F9",
    recreates="buun-llama-cpp #74",
    caught_by="greedy",
    schedules=SCHEDULE,
)
class RestoresSometimes(Recurrent):
    """A recurrent state is restored only where all drafts were rejected."""

    def commit(self, verified: Verified) -> None:
        """Go on from the last slot where anything was accepted."""
        super().commit(verified)
        last = verified.tokens.shape[1] - 1
        self.slot = torch.where(verified.accepted > 0, last, verified.accepted)


@fault(
    "empty-draft-reads-slot-0",
    family="F9",
    recreates="vLLM #39273",
    caught_by="greedy",
    engine=LOOKUP,
    schedules=SCHEDULE,
)
class ReadsFirstSlot(Recurrent):
    """A step without drafts goes on from the state of the first slot, whatever was accepted."""

    def slot_to_read(self, proposal: Proposal) -> Tensor:
        """Slot 0 in rows that have no drafts."""
        return torch.where(proposal.lengths > 0, self.slot, 0)
