"""Launches the project's own matrix product in tiles that suit its sizes.

Importing it imports Triton, which torch brings along on CUDA.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import torch
import triton
from torch import Tensor
from triton.runtime import driver

from equivcheck.decoding.kernels.products import linear_kernel
from equivcheck.decoding.kernels.starting import starting

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


FEWEST = Tiles(rows=FEW, columns=16, inner=256, stages=4, warps=2)
"""For so few rows in 16 bits that all of the time goes into reading the weight."""
DEEP = FEWEST._replace(stages=5)
"""For as few rows, where sums are no shorter than there are columns."""
TALL = Tiles(rows=FEW, columns=64, inner=128, stages=4, warps=4, swapped=True)
"""For as few rows, where there are `TALL_FROM` times as many columns as summands."""
TALL_FROM = 4
WIDE = Tiles(rows=128, columns=64, inner=64, stages=4, warps=8)
"""For more rows, where there are many columns."""
NARROW = Tiles(rows=64, columns=64, inner=128, stages=4, warps=4, swapped=True)
"""For more rows, where there are few."""
FETCHED_TILES = 2
"""Tiles of a weight that a program started ahead has fetched before its inputs are there."""
MANY_COLUMNS = 16_384
LARGE_MEMORY = 160 * 1024
"""Bytes that programs of an A100 and its successors may share."""


def tiles_for_few(*, columns: int, inner: int) -> Tiles:
    """Tiles for up to `FEW` rows in 16 bits, by the sizes of the weight."""
    if columns >= TALL_FROM * inner:
        return TALL
    return DEEP if inner >= columns else FEWEST


def tiles_for(*, rows: int, columns: int, inner: int, itemsize: int, memory: int) -> Tiles:
    """Tiles that `benchmarks.products` has found to be fast, or nearly, on an H100 and an H200.

    In 16 bits a number is the same in all of them, and swapped: one sum in ascending order, 16
    products at a time. That is measured there and probed wherever the contract is promised.

    Args:
        rows: Of the inputs.
        columns: Of the outputs.
        inner: Summands.
        itemsize: Bytes of a number.
        memory: Bytes that the threads of a program may share.
    """
    if itemsize == 2:
        if rows <= FEW:
            return tiles_for_few(columns=columns, inner=inner)
        if columns >= MANY_COLUMNS:
            return WIDE
        return NARROW if memory >= LARGE_MEMORY else NARROW._replace(stages=2)
    wide = 64 if columns >= MANY_COLUMNS else 32 if columns >= 6_144 else 16
    deep = min(64, max(16, triton.next_power_of_2(inner)))
    return Tiles(rows=FEW, columns=wide, inner=deep, stages=5, warps=4)


@functools.cache
def shared_memory(device: torch.device) -> int:
    """Bytes that the threads of a program may share on a device; where it is no GPU, few."""
    if device.type != "cuda":
        return 0
    index = torch.cuda.current_device() if device.index is None else device.index
    return int(driver.active.utils.get_device_properties(index)["max_shared_mem"])


def product(
    inputs: Tensor, weight: Tensor, bias: Tensor | None, *, tiles: Tiles, ahead: bool = False
) -> Tensor:
    """``inputs @ weight.T + bias``, [..., inner] to [..., columns]; started ahead if told to."""
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
        FETCHED=FETCHED_TILES * tiles.inner,
        num_stages=tiles.stages,
        num_warps=tiles.warps,
        **starting(weight.device, ahead=ahead),
    )
    return outputs.view(*inputs.shape[:-1], columns)
