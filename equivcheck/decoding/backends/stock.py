"""The library's own kernels."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from equivcheck.decoding.backends.interface import HeadNorms, KeyValues, Standing
from equivcheck.decoding.backends.widened import widened, widened_bytes

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "silu": F.silu,
    "gelu_pytorch_tanh": lambda gate: F.gelu(gate, approximate="tanh"),
    "gelu": F.gelu,
}


class StockBackend:
    """torch's matrix products and scaled-dot-product attention."""

    name = "stock"
    batch_invariant = False
    ragged = False
    head_dtype: torch.dtype | None = torch.float32

    def linear(self, inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """One library call for the whole batch."""
        return F.linear(inputs, weight, bias)

    def project(self, hidden: Tensor, head: Tensor) -> Tensor:
        """From a copy of the head in fp32."""
        return self.linear(hidden.float(), widened(head))

    def copied_bytes(self, weight: Tensor) -> int:
        """Bytes of a head's copy."""
        return widened_bytes(weight)

    def norm(self, hidden: Tensor, gain: Tensor, *, eps: float) -> Tensor:
        """RMS norm (Zhang and Sennrich 2019)."""
        wide = hidden.float()
        wide = wide * torch.rsqrt(wide.pow(2).mean(dim=-1, keepdim=True) + eps)
        return wide.to(hidden.dtype) * gain

    def add_norm(
        self, hidden: Tensor, change: Tensor, gain: Tensor, *, eps: float
    ) -> tuple[Tensor, Tensor]:
        """Add, then norm."""
        hidden = hidden + change
        return hidden, self.norm(hidden, gain, eps=eps)

    def rotate_and_store(
        self,
        heads: Tensor,
        standing: Standing,
        into: KeyValues,
        *,
        norms: HeadNorms | None,
        eps: float,
    ) -> Tensor:
        """Queries and keys rotated together."""
        kv_heads = into.keys.shape[2]
        split = (heads.shape[2] - 2 * kv_heads, kv_heads)
        turning, value = heads.split((sum(split), kv_heads), dim=2)
        if norms is not None:
            normed = zip(turning.split(split, dim=2), norms, strict=True)
            turning = torch.cat([self.norm(each, gain, eps=eps) for each, gain in normed], dim=2)
        query: Tensor
        query, key = rotate(turning, standing).split(split, dim=2)
        places = (standing.rows, standing.positions)
        into.keys.index_put_(places, key)
        into.values.index_put_(places, value)
        return query

    def gate(self, gate_up: Tensor, *, activation: str) -> Tensor:
        """Activate, then multiply."""
        gate, up = gate_up.chunk(2, dim=-1)
        return ACTIVATIONS[activation](gate) * up

    def visible(
        self,
        positions: Tensor,
        *,
        keys: Tensor,
        window: int | None,
        shared: int,
        dtype: torch.dtype,
    ) -> Tensor:
        """Additive causal mask, [rows, 1, shared * width, cache positions]."""
        seen = keys <= positions[:, :, None]
        if window is not None:
            seen &= keys > positions[:, :, None] - window
        mask = torch.zeros(seen.shape, dtype=dtype, device=seen.device)
        return mask.masked_fill_(~seen, float("-inf"))[:, None].repeat(1, 1, shared, 1)

    def attend(self, query: Tensor, seen: KeyValues, visible: Tensor) -> Tensor:
        """Attention over all that is given: hidden entries weigh exactly 0.

        Query heads that share a key/value head are folded into the query dimension, so grouped
        attention needs no copy of the cache.
        """
        (rows, width, heads, _), kv_heads = query.shape, seen.keys.shape[2]
        seen = by_window(seen)
        shared = heads // kv_heads
        folded = query.unflatten(2, (kv_heads, shared)).permute(0, 2, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(
            folded.flatten(2, 3),
            seen.keys.transpose(1, 2),
            seen.values.transpose(1, 2),
            attn_mask=visible,
        )
        unfolded: Tensor = mixed.unflatten(2, (shared, width))
        return unfolded.permute(0, 3, 1, 2, 4).reshape(rows, width, -1)


def by_window(seen: KeyValues) -> KeyValues:
    """Keys and values of each window's row, which is a copy where windows do not stand in order."""
    if seen.rows is None:
        return seen
    return KeyValues(seen.keys[seen.rows], seen.values[seen.rows])


def rotate(heads: Tensor, standing: Standing) -> Tensor:
    """Rotary position embedding (Su et al. 2021), halves convention; [rows, width, heads, dim]."""
    other = heads.roll(heads.shape[-1] // 2, dims=-1)
    return heads * standing.cosines[:, :, None] + other * standing.sines[:, :, None]


STOCK = StockBackend()
