"""F10: positions and masks of a verify window are those of something else."""

from __future__ import annotations

import copy
from typing import Any

from torch import Tensor

from equivcheck.decoding.backends.interface import Standing
from equivcheck.decoding.decoder import Decoder
from equivcheck.decoding.model import StaticModel
from equivcheck.decoding.prefill import BLOCK
from equivcheck.faults.fault import fault
from equivcheck.faults.rollback import RemembersRejection

STEP_WIDTHS = range(2, BLOCK)
"""Windows of a decoding step; prompts are read in wider ones, drafts in windows of 1."""


WRAPS_AT = 128
"""What the positions of a counter of 8 bits with a sign start anew at."""


def other_kind(model: StaticModel, kind: type[StaticModel]) -> StaticModel:
    """The same weights under another forward pass."""
    other = copy.copy(model)
    other.__class__ = kind
    return other


class OpenMask(StaticModel):
    """Lets each slot of a step see the one behind it."""

    def visible(self, positions: Tensor, window: int | None, *, reach: int) -> Any:
        ahead = int(positions.shape[1] in STEP_WIDTHS)
        return super().visible(positions + ahead, window, reach=reach)


class OnePosition(StaticModel):
    """Rotates all slots of a step by the position of the first."""

    def standing(self, positions: Tensor) -> Standing:
        """Use the first slot's angles."""
        standing = super().standing(positions)
        if positions.shape[1] not in STEP_WIDTHS:
            return standing
        cosines, sines = standing.cosines, standing.sines
        return standing._replace(
            cosines=cosines[:, :1].expand_as(cosines), sines=sines[:, :1].expand_as(sines)
        )


class WrappingPositions(StaticModel):
    """Rotates the slots of a step by positions that have 7 bits."""

    def standing(self, positions: Tensor) -> Standing:
        wraps = positions.shape[1] in STEP_WIDTHS
        return super().standing(positions % WRAPS_AT if wraps else positions)


@fault("positions-over-advance", family="F10", recreates="vLLM #44697", caught_by="greedy")
class StartsLate(RemembersRejection):
    """After a rejection the next window's positions are too far on by what was rejected."""

    def start(self) -> Tensor:
        return self.within(super().start() + self.rejected)


@fault("mask-open", family="F10", recreates="tokenspeed #217", caught_by="greedy")
class SeesNextDraft(Decoder):
    """In a verify window each slot attends to the draft behind it."""

    def __init__(self, model: StaticModel, **options: Any) -> None:
        """Decode with a mask that is open by one."""
        super().__init__(other_kind(model, OpenMask), **options)


@fault("one-position-per-step", family="F10", recreates="rtp-llm #1163", caught_by="greedy")
class RotatesOnce(Decoder):
    """The position buffer holds one position a row and step, so all slots share the first."""

    def __init__(self, model: StaticModel, **options: Any) -> None:
        """Decode with the first slot's rotation."""
        super().__init__(other_kind(model, OnePosition), **options)


@fault(
    "positions-wrap",
    family="F10",
    recreates="tpu-inference #2756 (at 128)",
    caught_by="greedy",
    schedules=("borders",),
)
class WrapsPositions(Decoder):
    """A step's positions are counted in 8 bits with a sign: from 128 on they start anew."""

    def __init__(self, model: StaticModel, **options: Any) -> None:
        """Decode with the wrapped rotation."""
        super().__init__(other_kind(model, WrappingPositions), **options)
