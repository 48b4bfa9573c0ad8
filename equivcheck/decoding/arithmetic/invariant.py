"""Arithmetic by the project's own Triton kernels alone: bits that do not depend on the batch.

Importing it imports Triton, which torch brings along on CUDA.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
from torch import Tensor

from equivcheck.decoding.arithmetic.fused import TILE, FusedArithmetic
from equivcheck.decoding.kernels.products import linear_kernel

STAGES = 5
"""Tiles of a weight that are on their way while one is multiplied."""


class Blocks(NamedTuple):
    """Tile sizes of a product. From the weight's shape alone: never from the number of rows."""

    columns: int
    inner: int


def blocks_for(*, columns: int, inner: int, itemsize: int) -> Blocks:
    """Small enough column tiles that narrow products still occupy the whole device."""
    wide = 64 if columns >= 16_384 else 32 if columns >= 6_144 else 16
    return Blocks(wide, min(128 if itemsize == 2 else 64, max(16, triton.next_power_of_2(inner))))


class InvariantArithmetic(FusedArithmetic):
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
        linear_kernel[grid](
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
            num_stages=STAGES,
        )
        return outputs.view(*inputs.shape[:-1], columns)
