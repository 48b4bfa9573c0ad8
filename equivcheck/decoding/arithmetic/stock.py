"""The library's own kernels, and the interface that all arithmetics share."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor


class Arithmetic(Hashable, Protocol):
    """How a static model multiplies, normalises and attends."""

    name: str
    batch_invariant: bool
    """Whether a token's bits are meant not to depend on how many rows and slots there are."""

    def linear(self, inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """``inputs @ weight.T + bias``: [..., in] with [out, in] to [..., out]."""
        ...

    def norm(self, hidden: Tensor, gain: Tensor, *, eps: float) -> Tensor:
        """RMS norm of the last dimension, the mean square in fp32."""
        ...

    def visible(
        self,
        positions: Tensor,
        *,
        keys: Tensor,
        window: int | None,
        shared: int,
        dtype: torch.dtype,
    ) -> Any:
        """What `attend` needs to know of who sees what; made once a step for all layers.

        Args:
            positions: Of the queries, int64, [rows, width].
            keys: Positions of the cache, ascending from 0, [cache positions].
            window: How many latest positions a query sees; None: all.
            shared: Query heads to a key/value head.
            dtype: Of the queries.
        """
        ...

    def attend(self, query: Tensor, keys: Tensor, values: Tensor, visible: Any) -> Tensor:
        """Causal attention over a static cache.

        Args:
            query: [rows, width, heads, head_dim].
            keys: [rows, cache positions, kv_heads, head_dim].
            values: As keys.
            visible: From `visible`.

        Returns:
            [rows, width, heads * head_dim].
        """
        ...


class StockArithmetic:
    """torch's matrix products and scaled-dot-product attention."""

    name = "stock"
    batch_invariant = False

    def linear(self, inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """One library call for the whole batch."""
        return F.linear(inputs, weight, bias)

    def norm(self, hidden: Tensor, gain: Tensor, *, eps: float) -> Tensor:
        """RMS norm (Zhang and Sennrich 2019)."""
        wide = hidden.float()
        wide = wide * torch.rsqrt(wide.pow(2).mean(dim=-1, keepdim=True) + eps)
        return wide.to(hidden.dtype) * gain

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

    def attend(self, query: Tensor, keys: Tensor, values: Tensor, visible: Tensor) -> Tensor:
        """Attention over the whole cache: hidden entries weigh exactly 0.

        Query heads that share a key/value head are folded into the query dimension, so grouped
        attention needs no copy of the cache.
        """
        (rows, width, heads, _), kv_heads = query.shape, keys.shape[2]
        shared = heads // kv_heads
        folded = query.unflatten(2, (kv_heads, shared)).permute(0, 2, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(
            folded.flatten(2, 3),
            keys.transpose(1, 2),
            values.transpose(1, 2),
            attn_mask=visible,
        )
        unfolded: Tensor = mixed.unflatten(2, (shared, width))
        return unfolded.permute(0, 3, 1, 2, 4).reshape(rows, width, -1)


STOCK = StockArithmetic()
