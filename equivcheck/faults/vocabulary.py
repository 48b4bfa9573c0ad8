"""F18: the draft's ids are not the target's."""

from __future__ import annotations

import torch
from torch import Tensor

from equivcheck.decoding.decoder import Decoder
from equivcheck.decoding.verification import Proposal
from equivcheck.faults.fault import fault


class MapsDrafts(Decoder):
    """Base: gives the drafts other ids."""

    def propose(self, *, gamma: int, unread: int) -> Proposal:
        """Map what is proposed; each draft is then certain, however it was drawn."""
        proposal = super().propose(gamma=gamma, unread=unread)
        return proposal._replace(tokens=self.mapped(proposal.tokens), log_probs=None)

    def mapped(self, tokens: Tensor) -> Tensor:
        """The ids that reach the target."""
        return tokens


@fault(
    "draft-ids-unmapped",
    family="F18",
    recreates="NeMo Automodel #2447",
    breaks="speed",
    caught_by="acceptance",
)
class AlignsToFirst(MapsDrafts):
    """A reduced vocabulary is taken for the target's first ids: half the drafts are wrong."""

    def mapped(self, tokens: Tensor) -> Tensor:
        """Leave even ids alone and send odd ones elsewhere."""
        return torch.where(tokens % 2 == 0, tokens, tokens // 2)


@fault(
    "draft-ids-off-by-one",
    family="F18",
    recreates="vllm-ascend #16166",
    breaks="speed",
    caught_by="acceptance",
)
class MapsOffByOne(MapsDrafts):
    """Behind the reserved ids the draft's vocabulary map is off by one."""

    def mapped(self, tokens: Tensor) -> Tensor:
        """Shift all but the first ids, which are single bytes and special tokens."""
        size = self.model.architecture.vocab
        return torch.where(tokens < 300, tokens, (tokens + 1) % size)
