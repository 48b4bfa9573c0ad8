"""F20 and F18: a head is read, fed or placed wrongly. The output stays right; speed is lost.

Each exchanges the head before the decoder is made, or what it is given. But for one they move
acceptance alone.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor

from equivcheck.decoding.decoder import Decoder
from equivcheck.decoding.head_drafter import HeadDrafter
from equivcheck.decoding.heads import EagleHead, Head
from equivcheck.decoding.model import Passed, StaticModel
from equivcheck.decoding.verification import Proposal
from equivcheck.faults.drafting import NEAR
from equivcheck.faults.fault import fault

EAGLE, MTP = "native:gamma=4,drafter=eagle3", "native:gamma=4,drafter=mtp"
WRONG_BASE = 100.0
"""A rotary base other than any small head's."""

Kind = TypeVar("Kind", bound=type[Decoder])


def head_fault(
    fault_id: str, *, recreates: str, engine: str = EAGLE, family: str = "F20"
) -> Callable[[Kind], Kind]:
    """Put a decoder that drafts worse with a head into the catalogue.

    Raises:
        ValueError: the id is taken, or the family unknown.
    """
    return fault(
        fault_id,
        family=family,
        recreates=recreates,
        breaks="speed",
        caught_by="acceptance",
        engine=engine,
        schedules=("drafts",),
    )


class OtherHead(Decoder):
    """Base: drafts with another head."""

    def __init__(self, model: StaticModel, *, drafter: HeadDrafter, **options: Any) -> None:
        self.model = model
        head = self.changed(copy.copy(drafter.head))
        rows = drafter.caches[0].keys[0].shape[0]
        other = HeadDrafter(head, rows=rows, most=drafter.most)
        super().__init__(model, drafter=other, **options)

    def changed(self, head: Any) -> Head:
        """The head instead, a copy that may be altered."""
        found: Head = head
        return found


@head_fault("head-layers-late", recreates="sglang #25454")
class TapsLaterLayers(OtherHead):
    """Hidden states are taken one layer behind those that the head was trained on."""

    def changed(self, head: EagleHead) -> Head:
        """Count from the wrong end of a layer; there is nothing behind the last."""
        head.keeps = tuple(place + 1 for place in head.keeps[:-1]) + head.keeps[-1:]
        return head


@head_fault("head-layers-assumed", recreates="tokenspeed #526")
class AssumesLayers(OtherHead):
    """All hidden states are those of the second layer, whatever the head's config names."""

    def changed(self, head: EagleHead) -> Head:
        head.keeps = (2,) * len(head.keeps)
        return head


@head_fault("head-ids-shifted", recreates="SpecForge #534", family="F18")
class ShiftsDraftIds(OtherHead):
    """The map of the draft vocabulary is another one's: each id stands for its neighbour's."""

    def changed(self, head: EagleHead) -> Head:
        """Turn the map by one."""
        head.target_ids = head.target_ids.roll(1)
        return head


@head_fault("head-ids-absolute", recreates="verl-SpeCo #67", family="F18")
class DoublesDraftIds(OtherHead):
    """Offsets of the draft vocabulary's map count as ids, so that offsets are lost."""

    def changed(self, head: EagleHead) -> Head:
        """Leave each id where it is."""
        head.target_ids = torch.arange(len(head.target_ids), device=head.target_ids.device)
        return head


@head_fault("head-rotary-base", recreates="sfllm #32")
class TurnsOtherwise(OtherHead):
    """The head's rotary base is not the one that it was trained with."""

    def changed(self, head: EagleHead) -> Head:
        """Make the tables anew, from another base."""
        (depth,) = head.depths
        model, other = depth.model, copy.copy(depth)
        steps = torch.arange(len(model.weights.inverse_frequencies), device=model.device)
        frequencies = WRONG_BASE ** (-steps.float() / len(steps))
        other.model = StaticModel(
            model.architecture,
            dataclasses.replace(model.weights, inverse_frequencies=frequencies),
            positions=model.key_positions.shape[0],
            backend=model.backend,
            reaches=model.reaches,
        )
        head.depths = (other,)
        return head


class FeedsBackNormed(EagleHead):
    """Hands on what logits are made of."""

    def passed_on(self, passed: Passed) -> Tensor:
        return passed.normed


@head_fault("head-feeds-back-normed", recreates="SpecForge #879")
class NormsFeedback(OtherHead):
    """The hidden state that the head feeds back is normed, where it was trained on it as it is."""

    def changed(self, head: EagleHead) -> Head:
        """Hand on the other one."""
        head.__class__ = FeedsBackNormed
        return head


class OtherHidden(Decoder):
    """Base: the drafter is given other hidden states than the target's."""

    def mistaken(self, hidden: Tensor) -> Tensor:
        """What it is given of one place, [rows, positions, hidden]."""
        return hidden

    def propose(self, *, gamma: int, unread: int) -> Proposal:
        kept = self.rows.hidden
        self.rows.hidden = {place: self.mistaken(each) for place, each in kept.items()}
        proposal = super().propose(gamma=gamma, unread=unread)
        self.rows.hidden = kept
        return proposal


@head_fault("head-hidden-late", recreates="openvino.genai #3396 (a review)")
class ShiftsHidden(OtherHidden):
    """Each token comes with the hidden state of the one two before it."""

    def mistaken(self, hidden: Tensor) -> Tensor:
        return hidden.roll(1, dims=1)


@head_fault("head-hidden-of-neighbour", recreates="sglang #10059 (in kind)")
class SwapsHidden(OtherHidden):
    """In a batch each row's head is given the hidden states of the row beside it."""

    def mistaken(self, hidden: Tensor) -> Tensor:
        return hidden.roll(1, dims=0)


@head_fault("head-hidden-of-rejected", recreates="vLLM #14649 (in kind)")
class KeepsRejectedHidden(OtherHidden):
    """Behind a rejection the head goes on from the hidden state of the draft that was rejected."""

    def mistaken(self, hidden: Tensor) -> Tensor:
        """Take what the last step left a position further on, of whichever token stood there."""
        return hidden.roll(-1, dims=1)


@head_fault("head-past-limit", recreates="vLLM #58080 (its drafts)", family="F10")
class DraftsPastLimit(Decoder):
    """Past the head's last position, 64 here, every draft of a row is token 0."""

    def propose(self, *, gamma: int, unread: int) -> Proposal:
        proposal = super().propose(gamma=gamma, unread=unread)
        far = (self.rows.length > NEAR)[:, None]
        return proposal._replace(tokens=proposal.tokens.masked_fill(far, 0), log_probs=None)


@fault(
    "head-q-unmapped",
    family="F18",
    recreates="xllm #2175 (in kind)",
    caught_by="sampled",
    engine=f"{EAGLE},rule=rejection",
)
class LeavesProbsUnmapped(Decoder):
    """Drafts are mapped to the target's ids, q is not: it lies on the first ids."""

    def propose(self, *, gamma: int, unread: int) -> Proposal:
        """Move q to where the draft vocabulary counts it."""
        proposal = super().propose(gamma=gamma, unread=unread)
        drafter, probs = self.drafter, proposal.log_probs
        if probs is None:
            return proposal
        assert isinstance(drafter, HeadDrafter)
        assert isinstance(drafter.head, EagleHead)
        ids = drafter.head.target_ids
        moved = torch.full_like(probs, float("-inf"))
        moved[..., : len(ids)] = probs[..., ids]
        return proposal._replace(log_probs=moved)
