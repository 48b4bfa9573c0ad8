"""F20: an MTP head's depths are mixed up, or fed with the wrong hidden state."""

from __future__ import annotations

import copy

from equivcheck.decoding.decoder import Decoder
from equivcheck.decoding.head_drafter import HeadDrafter
from equivcheck.decoding.heads import Head, MtpDepth
from equivcheck.decoding.verification import Proposal
from equivcheck.faults.heads import MTP, OtherHead, ShiftsHidden, head_fault


@head_fault("mtp-depth-reused", recreates="vLLM #36910", engine=MTP)
class ReusesDepth(OtherHead):
    """All drafts come of the first depth; the second is loaded and never run."""

    def changed(self, head: Head) -> Head:
        head.depths = head.depths[:1]
        return head


@head_fault("mtp-depths-reversed", recreates="sglang-jax #1256 (in kind)", engine=MTP)
class ReversesDepths(OtherHead):
    """The first draft comes of the depth that was trained to make the second."""

    def changed(self, head: Head) -> Head:
        head.depths = head.depths[::-1]
        return head


@head_fault("mtp-order-swapped", recreates="mlx-lm #1469", engine=MTP)
class SwapsOrder(OtherHead):
    """Token and hidden state are projected with each other's half of the matrix."""

    def changed(self, head: Head) -> Head:
        depths = [copy.copy(depth) for depth in head.depths]
        for depth in depths:
            assert isinstance(depth, MtpDepth)
            depth.projection = depth.projection.roll(depth.projection.shape[0], dims=1)
        head.depths = tuple(depths)
        return head


@head_fault("mtp-hidden-of-layer-before", recreates="TensorRT-LLM #4762 (in kind)", engine=MTP)
class TakesLayerBefore(OtherHead):
    """The head is given what enters the target's last layer, not what leaves it."""

    def changed(self, head: Head) -> Head:
        head.keeps = (self.model.architecture.layers - 1,)
        return head


@head_fault("mtp-hidden-late", recreates="openvino.genai #3396 (a review)", engine=MTP)
class ShiftsHiddenOfDepths(ShiftsHidden):
    """Each token of an MTP head comes with the hidden state of the one two before it."""


@head_fault("mtp-later-depth-unread", recreates="TensorRT-LLM #4762 (in kind)", engine=MTP)
class ForgetsLaterDepth(Decoder):
    """The second depth's cache holds no prompt and nothing that was answered before the step."""

    def propose(self, *, gamma: int, unread: int) -> Proposal:
        """Blank it before every step."""
        assert isinstance(self.drafter, HeadDrafter)
        for buffer in self.drafter.caches[-1].buffers:
            buffer.zero_()
        return super().propose(gamma=gamma, unread=unread)
