"""Arithmetic by the project's own Triton kernels: bits that do not depend on the batch, on a GPU.

Importing it imports Triton, which torch brings along on CUDA.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
from torch import Tensor

from equivcheck.decoding.arithmetic import kernels

TILE = 16
"""Rows or query slots a program works on: the least that a tensor core takes."""
KEY_TILE = 64
SPLIT = 256
"""Cache positions whose weights are summed by one program."""
EVERYTHING = 2**30
"""A window that hides nothing."""


class Blocks(NamedTuple):
    """Tile sizes of a product. From the weight's shape alone: never from the number of rows."""

    columns: int
    inner: int


class Visibility(NamedTuple):
    """Who sees what: positions of the queries [rows, width] and the window in tokens."""

    positions: Tensor
    window: int


def blocks_for(*, columns: int, inner: int, itemsize: int) -> Blocks:
    """Small enough column tiles that narrow products still occupy the whole device."""
    wide = 64 if columns >= 16_384 else 32 if columns >= 6_144 else 16
    return Blocks(wide, min(128 if itemsize == 2 else 64, max(16, triton.next_power_of_2(inner))))


class InvariantArithmetic:
    """Fixed tiles, ascending sums, no split that depends on the batch."""

    name = "triton"
    batch_invariant = True

    def linear(self, inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """``inputs @ weight.T + bias`` with one fp32 accumulator an element."""
        flat = inputs.reshape(-1, inputs.shape[-1]).contiguous()
        rows, inner = flat.shape
        columns = weight.shape[0]
        weight = weight.contiguous()
        blocks = blocks_for(columns=columns, inner=inner, itemsize=flat.element_size())
        outputs = torch.empty((rows, columns), dtype=flat.dtype, device=flat.device)
        grid = (triton.cdiv(rows, TILE), triton.cdiv(columns, blocks.columns))
        kernels.linear_kernel[grid](
            flat,
            weight,
            weight if bias is None else bias,
            outputs,
            rows,
            columns,
            inner,
            HAS_BIAS=bias is not None,
            TILE_ROWS=TILE,
            TILE_COLUMNS=blocks.columns,
            TILE_INNER=blocks.inner,
            num_stages=5,
        )
        return outputs.view(*inputs.shape[:-1], columns)

    def norm(self, hidden: Tensor, gain: Tensor, *, eps: float) -> Tensor:
        """RMS norm, one program a row."""
        flat = hidden.reshape(-1, hidden.shape[-1]).contiguous()
        outputs = torch.empty_like(flat)
        tile = triton.next_power_of_2(flat.shape[1])
        kernels.norm_kernel[(flat.shape[0],)](flat, gain, outputs, flat.shape[1], eps, TILE=tile)
        return outputs.view_as(hidden)

    def visible(
        self,
        positions: Tensor,
        *,
        keys: Tensor,
        window: int | None,
        shared: int,
        dtype: torch.dtype,
    ) -> Visibility:
        """Nothing to compute: the kernel compares positions."""
        return Visibility(positions.contiguous(), EVERYTHING if window is None else window)

    def attend(self, query: Tensor, keys: Tensor, values: Tensor, visible: Visibility) -> Tensor:
        """Attention in splits of `SPLIT` positions from 0, combined in ascending order."""
        rows, width, heads, head = query.shape
        cached, kv_heads = keys.shape[1], keys.shape[2]
        shared = heads // kv_heads
        query = query.contiguous()
        splits, tiles = triton.cdiv(cached, SPLIT), triton.cdiv(width * shared, TILE)
        shape = (rows * kv_heads, splits, tiles * TILE)
        partial = torch.empty((*shape, head), dtype=torch.float32, device=query.device)
        highest = torch.empty(shape, dtype=torch.float32, device=query.device)
        weights = torch.empty_like(highest)
        outputs = torch.empty_like(query)
        sizes = {"KV_HEADS": kv_heads, "SHARED": shared, "HEAD": head, "TILE": TILE}
        kernels.attention_kernel[(splits, tiles, rows * kv_heads)](
            query,
            keys,
            values,
            visible.positions,
            partial,
            highest,
            weights,
            width,
            cached,
            visible.window,
            head**-0.5,
            **sizes,
            TILE_KEYS=KEY_TILE,
            SPLIT=SPLIT,
        )
        kernels.combine_kernel[(tiles, rows * kv_heads)](
            partial, highest, weights, outputs, width, splits, **sizes
        )
        return outputs.flatten(2)
