"""From logits to a distribution: penalties, biases, bans, temperature, truncation.

One slot at a time where the prefix matters, so that a token inside a verify window is judged by
the very prefix it would have in plain decoding. Target and draft go through the same functions.
"""

from __future__ import annotations

import dataclasses
from typing import Self

import numpy as np
import torch
from torch import Tensor

from equivcheck.decoding.controls import SamplingControls

HIDDEN = float("-inf")
STEEP = 2.0**10
"""Largest logit over the temperature to which noise is added as it is: up to here fp32 keeps noise
to 2^-14. Penalties and biases can put it beyond, and from 2^24 on none of the noise is left."""

BLOCK = 128
"""Numbers that are searched together for the largest of many."""


@dataclasses.dataclass(frozen=True)
class Prefix:
    """What the transforms need to know of the tokens before a slot."""

    counts: Tensor
    """Occurrences in the output so far, fp32, [rows, vocab]."""
    generated: Tensor
    """Output tokens so far, int64, [rows]."""

    def extended(self, tokens: Tensor) -> Self:
        """The prefix one token on; `tokens` is [rows]."""
        ones = torch.ones_like(tokens, dtype=self.counts.dtype)[:, None]
        return dataclasses.replace(
            self,
            counts=self.counts.scatter_add(1, tokens[:, None], ones),
            generated=self.generated + 1,
        )


def penalise(logits: Tensor, controls: SamplingControls, prefix: Prefix) -> Tensor:
    """Apply everything that comes before temperature, to one slot: [rows, vocab] in and out."""
    seen = controls.prompt_seen | (prefix.counts > 0)
    repetition = controls.repetition_penalty[:, None]
    repeated = torch.where(logits > 0, logits / repetition, logits * repetition)
    logits = torch.where(seen, repeated, logits)
    logits = logits - controls.presence_penalty[:, None] * (prefix.counts > 0)
    logits = logits - controls.frequency_penalty[:, None] * prefix.counts
    logits = logits + controls.bias
    too_short = (prefix.generated < controls.min_new_tokens)[:, None]
    return logits.masked_fill(controls.banned | (controls.stop_ids & too_short), HIDDEN)


def penalise_window(
    logits: Tensor, controls: SamplingControls, prefix: Prefix, drafts: Tensor
) -> Tensor:
    """`penalise` slot by slot: slot s of [rows, slots, vocab] follows the first s drafts."""
    if not controls.features.history:
        return logits
    slots = []
    for slot in range(logits.shape[1]):
        slots.append(penalise(logits[:, slot], controls, prefix))
        if slot < drafts.shape[1]:
            prefix = prefix.extended(drafts[:, slot])
    return torch.stack(slots, dim=1)


def sharpen(logits: Tensor, controls: SamplingControls) -> Tensor:
    """Apply temperature and truncation: the unnormalised log-probabilities, [rows, slots, vocab].

    Greedy rows keep their logits. Top-k, top-p and min-p are taken in this order, each over what
    the one before has left; a tie at the border goes to the smaller token id.
    """
    if not controls.features.random:
        return logits
    temperature = controls.safe_temperature[:, None, None]
    scaled = logits / temperature
    if controls.features.history:
        # The noise that is added counts against the differences, which a constant leaves as they
        # are. A row is centred for its own logits' sake, whatever its neighbours are.
        top = logits.amax(dim=-1, keepdim=True)
        steep = (top.abs() > STEEP * temperature) & top.isfinite()
        steep &= ~controls.greedy[:, None, None]
        scaled = torch.where(steep, (logits - top) / temperature, scaled)
    if not controls.features.truncated:
        return scaled
    ordered = falling(scaled)
    rank = torch.arange(scaled.shape[-1], device=scaled.device)
    inside = rank < controls.top_k[:, None, None]
    probs = ordered.masked_fill(~inside, HIDDEN).softmax(dim=-1)
    before = probs.cumsum(dim=-1) - probs
    inside = inside & ((before < controls.top_p[:, None, None]) | (rank == 0))
    inside &= probs >= controls.min_p[:, None, None] * probs[..., :1]
    # What is inside is a prefix of the order, so its size and its last value say all about it.
    size = inside.sum(dim=-1, keepdim=True)
    border = ordered.gather(-1, size - 1)
    above, ties = scaled > border, scaled == border
    room = size - above.sum(dim=-1, keepdim=True)
    kept = above | (ties & (ties.cumsum(dim=-1, dtype=torch.int32) <= room))
    return scaled.masked_fill(~kept, HIDDEN)


def falling(values: Tensor) -> Tensor:
    """Sort the last dimension, largest first.

    On a CPU numpy's vectorised sort of values alone: a tenth of the time of torch's.
    """
    if values.device.type != "cpu":
        return values.sort(dim=-1, descending=True).values
    return torch.from_numpy(np.sort(values.numpy(), axis=-1)).flip(-1)


def probabilities(log_probs: Tensor, controls: SamplingControls) -> Tensor:
    """Normalise to probabilities, fp32; a greedy row is a point mass on its argmax."""
    probs = log_probs.softmax(dim=-1)
    if controls.features.all_random:
        return probs
    point = torch.zeros_like(probs).scatter_(-1, most_likely(log_probs)[..., None], 1.0)
    return torch.where(controls.greedy[:, None, None], point, probs)


def most_likely(weights: Tensor) -> Tensor:
    """Index of the largest of [..., vocab], the first of equals, int64, [...].

    On a CPU torch finds a largest number many times faster than its place (.2 ms and 2.1 ms in 18
    rows of 49,152), so that a large vocabulary is searched by blocks.
    """
    vocab = weights.shape[-1]
    if weights.device.type != "cpu" or vocab < BLOCK**2:
        return weights.argmax(dim=-1)
    whole = vocab // BLOCK * BLOCK
    peaks = weights[..., :whole].unflatten(-1, (-1, BLOCK)).amax(dim=-1)
    if whole < vocab:
        peaks = torch.cat([peaks, weights[..., whole:].amax(dim=-1, keepdim=True)], dim=-1)
    start = peaks.argmax(dim=-1, keepdim=True) * BLOCK
    block = (start + torch.arange(BLOCK)).clamp(max=vocab - 1)
    place = weights.gather(-1, block).argmax(dim=-1, keepdim=True)
    found: Tensor = (start + place).squeeze(-1)
    return found
