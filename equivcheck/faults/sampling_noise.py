"""Rejection sampling from noise that is not independent: of itself, or of another draw.

Every token alone looks right in most of these. The decoder draws by Gumbel noise; where a public
bug needs draws by inverting a distribution function, the fault draws so.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from equivcheck.core.generation import Request
from equivcheck.decoding.decoder import Decoder
from equivcheck.decoding.rows import Rows
from equivcheck.decoding.streams import Purpose, Streams
from equivcheck.decoding.transforms import probabilities
from equivcheck.decoding.verification import Proposal, RejectionRule, StepProbs, drafted_probs
from equivcheck.faults.fault import fault
from equivcheck.faults.sampling import ENGINE, coins, rule_fault


def inverted(weights: Tensor, uniform: Tensor) -> Tensor:
    """Draw by inversion in order of id: unnormalised [rows, slots, vocab] at [rows, slots, 1]."""
    upto = weights.double().cumsum(dim=-1)
    return (upto <= uniform.double() * upto[..., -1:]).sum(dim=-1).clamp(max=upto.shape[-1] - 1)


@rule_fault("draft-shares-coin", family="F5", recreates="vLLM #47386", draws=48_000)
class DraftsByCoin(RejectionRule):
    """A draft is drawn by the very number that then decides about it."""

    def draw(self, log_probs: Tensor, rows: Rows, positions: Tensor) -> Tensor:
        """Invert the draft's distribution at the coin."""
        coin = rows.streams.uniform(positions, Purpose.ACCEPT, width=1)
        return inverted(probabilities(log_probs, rows.controls), coin)


@rule_fault("recovery-shares-coin", family="F5", recreates="vllm-ascend #16370")
class RecoversByCoin(RejectionRule):
    """The replacement of a draft is drawn by the very number that rejected it."""

    def sample_last(
        self, probs: Tensor, rows: Rows, *, accepted: Tensor, rejected: Tensor
    ) -> Tensor:
        """Invert the residual at the coin."""
        tokens = super().sample_last(probs, rows, accepted=accepted, rejected=rejected)
        position = (rows.length + accepted)[:, None]
        coin = rows.streams.uniform(position, Purpose.ACCEPT, width=1)
        return torch.where(rejected[:, None], inverted(probs, coin), tokens)


@rule_fault("one-coin-a-step", family="F5", recreates="vLLM #13196 (in kind)")
class TossesOnce(RejectionRule):
    """One coin decides about all drafts of a step."""

    def accepts(self, probs: StepProbs, proposal: Proposal, rows: Rows) -> Tensor:
        """Take the first slot's coin for all."""
        target, draft = drafted_probs(probs, proposal)
        return coins(rows, slots=1)[..., 0] * draft < target


class OtherStreams(Decoder):
    """Base: draws from broken streams."""

    broken: ClassVar[type[BrokenStreams]]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if isinstance(self.rule, RejectionRule):
            self.rows.streams = self.broken(self.rows)


class BrokenStreams(Streams):
    """Base: streams that know the batch."""

    def __init__(self, batch: Rows) -> None:
        """Take the place of the batch's own streams."""
        super().__init__(rows=len(batch.length), device=batch.length.device)
        self.batch = batch


class StepStreams(BrokenStreams):
    """Counters that start anew in each step."""

    def uniform(self, positions: Tensor, purpose: Purpose | Tensor, *, width: int) -> Tensor:
        """Count from the step's first slot."""
        return super().uniform(positions - self.batch.length[:, None], purpose, width=width)


@fault(
    "reseeded-each-step-rejection",
    family="F5",
    recreates="vLLM #6034",
    caught_by="sampled",
    engine=ENGINE,
)
class ReseedsEachStep(OtherStreams):
    """Every step of a request draws with the noise of its first."""

    broken = StepStreams


class SharedNoise(BrokenStreams):
    """One stream for drafts and for what replaces them."""

    def uniform(self, positions: Tensor, purpose: Purpose | Tensor, *, width: int) -> Tensor:
        """Replace by the draft's noise."""
        if isinstance(purpose, Tensor):
            purpose = torch.where(purpose == Purpose.RESIDUAL, int(Purpose.DRAFT), purpose)
        return super().uniform(positions, purpose, width=width)


@fault(
    "recovery-shares-noise",
    family="F5",
    recreates="vLLM #54282",
    caught_by="sampled",
    engine=ENGINE,
)
class SharesGumbelNoise(OtherStreams):
    """A draft and its replacement are drawn with the same Gumbel noise."""

    broken = SharedNoise


class SameStreams(BrokenStreams):
    """One seed for all requests, counted from the end of the prompt."""

    def admit(self, row: int, request: Request) -> None:
        self.keys[row] = 0

    def uniform(self, positions: Tensor, purpose: Purpose | Tensor, *, width: int) -> Tensor:
        prompt = self.batch.length - self.batch.generated
        return super().uniform(positions - prompt[:, None], purpose, width=width)


@fault(
    "stream-shared-rejection",
    family="F5",
    recreates="TensorRT-LLM #19487",
    caught_by="sampled",
    engine=ENGINE,
)
class SharesOneStream(OtherStreams):
    """All requests draw the same noise, output token by output token."""

    broken = SameStreams
