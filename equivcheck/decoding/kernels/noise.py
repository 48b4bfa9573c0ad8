"""Uniform noise as one Triton kernel: Philox, operation by operation, is 170 launches."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

TILE = 256
"""Counters of one program; each gives four numbers."""


@triton.jit
def uniform_kernel(
    keys,
    positions,
    purposes,
    outputs,
    slots,
    width,
    LARGEST: tl.constexpr,
    TILE: tl.constexpr,
):
    """The first `width` uniforms of one slot of one row.

    Triton's Philox is that of `decoding.philox`, to the round and constant. It is keyed here by
    seed and request, and counts blocks, positions, purposes and requests.
    """
    token = tl.program_id(0)
    block = tl.program_id(1) * TILE + tl.arange(0, TILE)
    key = keys + token // slots * 3
    seed, low, high = tl.load(key), tl.load(key + 1), tl.load(key + 2)
    empty = tl.zeros((TILE,), dtype=tl.int32)
    words = tl.philox(
        (low << 32) | seed,
        block,
        empty + tl.load(positions + token).to(tl.int32),
        empty + tl.load(purposes + token).to(tl.int32),
        empty + high.to(tl.int32),
    )
    for word in tl.static_range(4):
        at = block * 4 + word
        uniform = (words[word].to(tl.float32) + 0.5) * 2.0**-32
        tl.store(outputs + token * width + at, tl.minimum(uniform, LARGEST), mask=at < width)


def uniform_noise(
    keys: Tensor, positions: Tensor, purposes: Tensor, *, width: int, largest: float
) -> Tensor:
    """Uniforms in (0, `largest`], fp32, [rows, slots, width].

    Args:
        keys: [rows, 3], int64, as in `Streams`.
        positions: [rows, slots], int64.
        purposes: As positions.
        width: Numbers a slot.
        largest: Below 1; what would be more is this.
    """
    rows, slots = positions.shape
    outputs = torch.empty((rows, slots, width), device=keys.device)
    uniform_kernel[(rows * slots, triton.cdiv(width, 4 * TILE))](
        keys.contiguous(),
        positions.contiguous(),
        purposes.contiguous(),
        outputs,
        slots,
        width,
        LARGEST=largest,
        TILE=TILE,
    )
    return outputs
