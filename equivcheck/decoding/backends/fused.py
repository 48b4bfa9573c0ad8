"""The project's own Triton kernels, and the library's matrix products where there is much to do.

Importing it imports Triton, which torch brings along on CUDA.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
import triton
from torch import Tensor

from equivcheck.decoding.backends.interface import HeadNorms, KeyValues, Standing, Visibility
from equivcheck.decoding.backends.products import FEW, product, tiles_for_few
from equivcheck.decoding.backends.widened import widened, widened_bytes
from equivcheck.decoding.kernels.attention import attention_kernel, combine_kernel
from equivcheck.decoding.kernels.pointwise import (
    add_norm_kernel,
    gate_kernel,
    rotate_and_store_kernel,
)
from equivcheck.decoding.kernels.starting import starting

TILE = FEW
"""Query slots a program works on."""
TILE_BYTES = 2**14
"""Bytes of the keys that a program of attention holds at a time, at most; as many values come on
top."""
MOST_KEYS = 64
SPLIT = 256
"""Cache positions whose weights are summed by one program."""
GATED = 1024
"""Numbers that a program gates."""
WIDE = 4096
"""From this width on a row is normed by twice the threads."""
EVERYTHING = 2**30
"""A window that hides nothing."""


class FusedBackend:
    """Six kernels a layer beside its four products, or five where the cache is one split.

    A product of few rows in 16 bits is the project's own: it reads its weight in less time.
    """

    name = "fused"
    batch_invariant = False
    ragged = False
    head_dtype: torch.dtype | None = torch.float32
    ahead = True
    """Whether kernels between own products are started ahead."""

    def linear(self, inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """One call for the whole batch, the library's unless there are few rows."""
        columns, inner = weight.shape
        if self.multiplies(inputs, rows=inputs.numel() // inner):
            tiles = tiles_for_few(columns=columns, inner=inner)
            return product(inputs, weight, bias, tiles=tiles, ahead=self.ahead)
        return F.linear(inputs, weight, bias)

    def project(self, hidden: Tensor, head: Tensor) -> Tensor:
        """From a copy of the head in fp32."""
        return self.linear(hidden.float(), widened(head))

    def copied_bytes(self, weight: Tensor) -> int:
        """Bytes of a head's copy."""
        return widened_bytes(weight)

    def multiplies(self, like: Tensor, *, rows: int) -> bool:
        """Whether products of so many rows are the project's own."""
        return rows <= FEW and like.element_size() == 2

    def start(self, like: Tensor, *, rows: int) -> dict[str, Any]:
        """How to launch a kernel of so many rows: ahead, if it stands between own products.

        Between the library's that costs more than it gains, 2 % of a plain step at batch 8.
        """
        return starting(like.device, ahead=self.ahead and self.multiplies(like, rows=rows))

    def norm(self, hidden: Tensor, gain: Tensor, *, eps: float) -> Tensor:
        """RMS norm, one program a row."""
        return self.normed(hidden, None, gain, eps=eps)[1]

    def add_norm(
        self, hidden: Tensor, change: Tensor, gain: Tensor, *, eps: float
    ) -> tuple[Tensor, Tensor]:
        """Sum and norm in one kernel, one program a row."""
        return self.normed(hidden, change.contiguous(), gain, eps=eps)

    def normed(
        self, hidden: Tensor, change: Tensor | None, gain: Tensor, *, eps: float
    ) -> tuple[Tensor, Tensor]:
        """Hidden plus change, if there is one, and its norm."""
        hidden = hidden.contiguous()
        width = hidden.shape[-1]
        tile = triton.next_power_of_2(width)
        summed = hidden if change is None else torch.empty_like(hidden)
        outputs = torch.empty_like(hidden)
        rows = hidden.numel() // width
        add_norm_kernel[(rows,)](
            hidden,
            hidden if change is None else change,
            gain,
            summed,
            outputs,
            width,
            eps,
            HAS_CHANGE=change is not None,
            TILE=tile,
            num_warps=8 if tile >= WIDE else 4,
            **self.start(hidden, rows=rows),
        )
        return summed, outputs

    def rotate_and_store(
        self,
        heads: Tensor,
        standing: Standing,
        into: KeyValues,
        *,
        norms: HeadNorms | None,
        eps: float,
    ) -> Tensor:
        """One program a head of a token."""
        heads = heads.contiguous()
        rows, width, count, head = heads.shape
        kv_heads = into.keys.shape[2]
        queries = heads.new_empty((rows, width, count - 2 * kv_heads, head))
        rotate_and_store_kernel[(rows * width, count)](
            heads,
            standing.cosines.contiguous(),
            standing.sines.contiguous(),
            standing.positions.contiguous(),
            *(norms or (heads, heads)),
            standing.rows.contiguous(),
            queries,
            into.keys,
            into.values,
            width,
            buffered(into),
            eps,
            HEADS=count - 2 * kv_heads,
            KV_HEADS=kv_heads,
            HEAD=head,
            CHANNELS=triton.next_power_of_2(head),
            NORMED=norms is not None,
            num_warps=1,
            **self.start(heads, rows=rows * width),
        )
        return queries

    def gate(self, gate_up: Tensor, *, activation: str) -> Tensor:
        """One program a tile of a row."""
        gate_up = gate_up.contiguous()
        inner = gate_up.shape[-1] // 2
        outputs = gate_up.new_empty((*gate_up.shape[:-1], inner))
        rows = gate_up.numel() // gate_up.shape[-1]
        gate_kernel[(rows, triton.cdiv(inner, GATED))](
            gate_up,
            outputs,
            inner,
            ACTIVATION=activation,
            TILE=GATED,
            **self.start(gate_up, rows=rows),
        )
        return outputs

    def visible(
        self,
        positions: Tensor,
        *,
        keys: Tensor,
        window: int | None,
        shared: int,
        dtype: torch.dtype,
    ) -> Any:
        """Nothing to compute: the kernel compares positions."""
        return Visibility(positions.contiguous(), EVERYTHING if window is None else window)

    def attend(self, query: Tensor, seen: KeyValues, visible: Visibility) -> Tensor:
        """Attention in splits of `SPLIT` positions from 0, combined in ascending order."""
        rows, width, heads, head = query.shape
        reach, kv_heads = seen.keys.shape[1:3]
        shared = heads // kv_heads
        query = query.contiguous()
        splits, tiles = triton.cdiv(reach, SPLIT), triton.cdiv(width * shared, TILE)
        channels = max(TILE, triton.next_power_of_2(head))
        outputs = torch.empty_like(query)
        # Of what is behind a split; where there is one split alone, nothing is kept of it.
        shape = (rows * kv_heads, splits, tiles * TILE) if splits > 1 else (1, 1, 1)
        partial = torch.empty((*shape, channels), dtype=torch.float32, device=query.device)
        highest = torch.empty(shape, dtype=torch.float32, device=query.device)
        weights = torch.empty_like(highest)
        sizes = {
            "KV_HEADS": kv_heads,
            "SHARED": shared,
            "HEAD": head,
            "CHANNELS": channels,
            "TILE": TILE,
            **self.start(query, rows=rows * width),
        }
        attention_kernel[(splits, tiles, rows * kv_heads)](
            query,
            seen.keys,
            seen.values,
            visible.positions,
            visible.positions if seen.rows is None else seen.rows.contiguous(),
            outputs,
            partial,
            highest,
            weights,
            width,
            reach,
            buffered(seen),
            visible.window,
            head**-0.5,
            **sizes,
            TILE_KEYS=keys_at_once(channels=channels, itemsize=query.element_size()),
            SPLIT=SPLIT,
            MAPPED=seen.rows is not None,
            SINGLE=splits == 1,
        )
        if splits > 1:
            combine_kernel[(tiles, rows * kv_heads)](
                outputs, partial, highest, weights, width, splits, **sizes
            )
        return outputs.flatten(2)


def keys_at_once(*, channels: int, itemsize: int) -> int:
    """Keys of a tile: as many as its bytes allow, so that it fits small GPUs' memory as well."""
    return max(TILE, min(MOST_KEYS, TILE_BYTES // (channels * itemsize)))


def buffered(cache: KeyValues) -> int:
    """Positions between a cache's rows, which may be more than are attended to."""
    _, _, kv_heads, head = cache.keys.shape
    strides = cache.keys.stride()
    assert strides == cache.values.stride()
    assert strides[1:] == (kv_heads * head, head, 1)
    return strides[0] // strides[1]
