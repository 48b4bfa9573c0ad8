"""Random streams of requests: who draws what from which counter.

Each request owns a key made of its seed and its name; each draw owns a counter made of the
position in the sequence and the purpose. Two purposes never share bits: a draft and its recovery
drawn from the same noise bias the output (vLLM #54282).
"""

from __future__ import annotations

import enum
import hashlib
from typing import NamedTuple

import torch
from torch import Tensor

from equivcheck.core.generation import Request
from equivcheck.decoding.kernels.needs import missing_for_kernels
from equivcheck.decoding.philox import WORD, Counter, Key, philox

LARGEST_UNIFORM = 1.0 - 2.0**-24


class Purpose(enum.IntEnum):
    """What a draw is for."""

    SHARED = 0
    """Noise that draft and target share on purpose: the coupled rule."""
    DRAFT = 1
    ACCEPT = 2
    RESIDUAL = 3
    BONUS = 4


class StreamKey(NamedTuple):
    """Three words naming a request: its seed and a 64-bit hash of its key, low and high."""

    seed: int
    request_low: int
    request_high: int


def stream_key(request: Request) -> StreamKey:
    """The stream of a request. Depends on its key and seed alone."""
    digest = hashlib.sha256(request.key.encode()).digest()
    return StreamKey(
        seed=request.seed & WORD,
        request_low=int.from_bytes(digest[:4], "little"),
        request_high=int.from_bytes(digest[4:8], "little"),
    )


class Streams:
    """The streams of a batch: `keys` is [rows, 3], int64, one `StreamKey` a row."""

    def __init__(self, *, rows: int, device: torch.device) -> None:
        """Start with all-zero keys; `admit` sets a row's."""
        self.keys = torch.zeros((rows, 3), dtype=torch.int64, device=device)
        self.kernel = missing_for_kernels(device) is None

    def admit(self, row: int, request: Request) -> None:
        """Give a row to a request."""
        self.keys[row] = torch.tensor(stream_key(request), dtype=torch.int64)

    def uniform(self, positions: Tensor, purpose: Purpose | Tensor, *, width: int) -> Tensor:
        """Uniforms in (0, 1), fp32, [rows, slots, width], at `positions` [rows, slots].

        All 32 bits count: with 24 the tail of a large vocabulary starves (vLLM #51367).
        """
        if not isinstance(purpose, Tensor):
            purpose = torch.full((), int(purpose), device=positions.device)
        purposes = purpose.expand_as(positions)
        if not self.kernel:
            return uniforms(self.keys, positions=positions, purposes=purposes, width=width)
        from equivcheck.decoding.kernels.noise import uniform_noise

        return uniform_noise(self.keys, positions, purposes, width=width, largest=LARGEST_UNIFORM)

    def gumbel(self, positions: Tensor, purpose: Purpose | Tensor, *, width: int) -> Tensor:
        """Standard Gumbel noise, fp32, [rows, slots, width].

        The winner of argmax(log p + Gumbel) has a small exponential -log(1 - u), so u is kept
        precise near 0, where fp32 is fine-grained, rather than near 1, where it is not.
        """
        return self.uniform(positions, purpose, width=width).neg_().log1p_().neg_().log_().neg_()


def uniforms(keys: Tensor, *, positions: Tensor, purposes: Tensor, width: int) -> Tensor:
    """Uniforms by tensor arithmetic, on any device; bit for bit those of the kernel."""
    blocks = torch.arange(-(-width // 4), device=positions.device)
    seed, low, high = (word[:, None, None] for word in keys.unbind(dim=1))
    counter = torch.broadcast_tensors(blocks, positions[:, :, None], purposes[:, :, None], high)
    words = philox(Counter(*counter), Key(seed, low))
    bits = torch.stack(words, dim=-1).flatten(2)[:, :, :width]
    return ((bits.float() + 0.5) * 2.0**-32).clamp_(max=LARGEST_UNIFORM)
