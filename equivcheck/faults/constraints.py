"""F13: what a request forbids or ends at is not kept to inside a window.

The decoder has no grammars; bans, stop ids and the minimum length are its constraints.
"""

from __future__ import annotations

import dataclasses

import msgspec
import torch
from torch import Tensor

from equivcheck.core.generation import Request
from equivcheck.decoding.decoder import Decoder
from equivcheck.decoding.stopping import StopRules
from equivcheck.decoding.transforms import penalise_window
from equivcheck.decoding.verification import Proposal
from equivcheck.faults.fault import fault
from equivcheck.faults.penalties import OtherControls
from equivcheck.faults.target_probs import with_other

BANS = ("bans",)


@fault(
    "mask-of-row-0",
    family="F13",
    recreates="TensorRT-LLM #18892",
    caught_by="stopping",
    schedules=BANS,
)
class SharesMask(OtherControls):
    """One flat mask, the first row's, holds for the whole batch."""

    def penalised(self, logits: Tensor, proposal: Proposal) -> Tensor:
        """Ban what row 0 bans."""
        banned = self.rows.controls.banned[:1].expand_as(self.rows.controls.banned)
        return self.under(with_other(self.rows.controls, banned=banned), logits, proposal)


@fault(
    "window-unconstrained",
    family="F13",
    recreates="vLLM #36138",
    caught_by="stopping",
    schedules=BANS,
)
class FreesWindow(OtherControls):
    """Behind the first slot of a window nothing is banned any more."""

    def penalised(self, logits: Tensor, proposal: Proposal) -> Tensor:
        """Lift the bans from all slots but the first."""
        none = torch.zeros_like(self.rows.controls.banned)
        free = self.under(with_other(self.rows.controls, banned=none), logits, proposal)
        return torch.cat([super().penalised(logits, proposal)[:, :1], free[:, 1:]], dim=1)


@fault(
    "constraint-one-behind",
    family="F13",
    recreates="vLLM #48516",
    caught_by="greedy",
    schedules=("endings",),
)
class LagsBehind(Decoder):
    """A constraint's state lags one token behind the text."""

    def penalised(self, logits: Tensor, proposal: Proposal) -> Tensor:
        prefix = self.rows.prefix
        late = dataclasses.replace(prefix, generated=prefix.generated - 1)
        return penalise_window(logits, self.rows.controls, late, proposal.tokens)


@fault(
    "stop-ids-ignored",
    family="F13",
    recreates="sglang #21723",
    breaks="interface",
    caught_by="stopping",
)
class IgnoresStopIds(Decoder):
    """Stop ids are not looked for while drafts are verified."""

    def stops(self, request: Request) -> StopRules:
        """Watch a request that has none."""
        return super().stops(msgspec.structs.replace(request, stop_token_ids=()))
