"""Launches the project's own matrix product in tiles that suit its sizes.

Importing it imports Triton, which torch brings along on CUDA.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
from torch import Tensor

from equivcheck.decoding.kernels.products import linear_kernel

FEW = 16
"""Rows of the smallest tile: the least that a tensor core takes."""


class Tiles(NamedTuple):
    """How a product is cut up."""

    rows: int
    columns: int
    inner: int
    stages: int
    """Tiles of a weight that are on their way while one is multiplied."""
    warps: int
    swapped: bool = False
    """Compute the transposed result, so that the weight's tile is the one that has to be large."""


def tiles_for(*, columns: int, inner: int, itemsize: int) -> Tiles:
    """From the weight's shape alone: small enough column tiles to occupy the whole device."""
    wide = 64 if columns >= 16_384 else 32 if columns >= 6_144 else 16
    deep = min(128 if itemsize == 2 else 64, max(16, triton.next_power_of_2(inner)))
    return Tiles(rows=FEW, columns=wide, inner=deep, stages=5, warps=4)


FEWEST = Tiles(rows=FEW, columns=16, inner=256, stages=4, warps=2)
"""For so few rows that all of the time goes into reading the weight: 16 bits, on an H100 faster
than the library for each weight of an 8B and of a 0.15B Llama, and as fast for one."""


def product(inputs: Tensor, weight: Tensor, bias: Tensor | None, *, tiles: Tiles) -> Tensor:
    """``inputs @ weight.T + bias``, [..., inner] to [..., columns]."""
    flat = inputs.reshape(-1, inputs.shape[-1]).contiguous()
    (rows, inner), columns = flat.shape, weight.shape[0]
    weight = weight.contiguous()
    outputs = torch.empty((rows, columns), dtype=flat.dtype, device=flat.device)
    linear_kernel[triton.cdiv(rows, tiles.rows), triton.cdiv(columns, tiles.columns)](
        flat,
        weight,
        weight if bias is None else bias,
        outputs,
        rows,
        columns,
        inner,
        HAS_BIAS=bias is not None,
        TILE_ROWS=tiles.rows,
        TILE_COLUMNS=tiles.columns,
        TILE_INNER=tiles.inner,
        SWAPPED=tiles.swapped,
        num_stages=tiles.stages,
        num_warps=tiles.warps,
    )
    return outputs.view(*inputs.shape[:-1], columns)
