"""Triton kernels whose result for a row depends on that row alone, whatever is computed beside it.

The rules they share: tiles of one fixed size, chosen from the weight's shape and never from the
number of rows; one fp32 accumulator, filled in ascending order; no split of a sum that depends on
the batch; fp32 products in full precision. They run on a CPU in Triton's interpreter
(``TRITON_INTERPRET=1``), where they are tested.
"""

from __future__ import annotations

import triton
import triton.language as tl

MASKED = tl.constexpr(-1.0e30)
"""Stands for minus infinity, whose difference with itself is no number."""


@triton.jit
def linear_kernel(
    inputs,
    weight,
    bias,
    outputs,
    rows,
    columns,
    inner,
    HAS_BIAS: tl.constexpr,
    TILE_ROWS: tl.constexpr,
    TILE_COLUMNS: tl.constexpr,
    TILE_INNER: tl.constexpr,
):
    """``inputs @ weight.T + bias``; row-major [rows, inner], [columns, inner], [rows, columns].

    Row tiles vary fastest, so that those of one weight tile run together and share it in the L2.
    """
    row = tl.program_id(0) * TILE_ROWS + tl.arange(0, TILE_ROWS)
    column = tl.program_id(1) * TILE_COLUMNS + tl.arange(0, TILE_COLUMNS)
    depth = tl.arange(0, TILE_INNER)
    total = tl.zeros((TILE_ROWS, TILE_COLUMNS), dtype=tl.float32)
    for start in range(0, inner, TILE_INNER):
        within = start + depth < inner
        left = tl.load(
            inputs + row[:, None] * inner + (start + depth)[None, :],
            mask=(row < rows)[:, None] & within[None, :],
            other=0.0,
        )
        right = tl.load(
            weight + column[None, :] * inner + (start + depth)[:, None],
            mask=(column < columns)[None, :] & within[:, None],
            other=0.0,
        )
        total = tl.dot(left, right, total, input_precision="ieee")
    if HAS_BIAS:
        total += tl.load(bias + column, mask=column < columns, other=0.0)[None, :].to(tl.float32)
    tl.store(
        outputs + row[:, None] * columns + column[None, :],
        total.to(outputs.dtype.element_ty),
        mask=(row < rows)[:, None] & (column < columns)[None, :],
    )


@triton.jit
def norm_kernel(hidden, gain, outputs, width, eps, TILE: tl.constexpr):
    """RMS norm of one row of `width` numbers, the sum of squares in one fixed tree."""
    row = tl.program_id(0)
    index = tl.arange(0, TILE)
    within = index < width
    values = tl.load(hidden + row * width + index, mask=within, other=0.0).to(tl.float32)
    scale = tl.rsqrt(tl.sum(values * values, axis=0) / width + eps)
    normed = (values * scale).to(outputs.dtype.element_ty).to(tl.float32)
    scaled = normed * tl.load(gain + index, mask=within, other=0.0).to(tl.float32)
    tl.store(outputs + row * width + index, scaled.to(outputs.dtype.element_ty), mask=within)


@triton.jit
def attention_kernel(
    query,
    keys,
    values,
    positions,
    partial,
    highest,
    weights,
    slots,
    cached,
    window,
    scale,
    KV_HEADS: tl.constexpr,
    SHARED: tl.constexpr,
    HEAD: tl.constexpr,
    TILE: tl.constexpr,
    TILE_KEYS: tl.constexpr,
    SPLIT: tl.constexpr,
):
    """One split of the cache for one tile of queries of one key/value head.

    Splits have a fixed size and start at position 0, so which keys are summed together does not
    depend on where a query stands. A block of keys that is hidden from a query adds exactly 0.
    Left behind, per split and query: the highest score, the sum of weights, the weighted values.
    """
    split, tile, row_and_head = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    splits, tiles = tl.num_programs(0), tl.num_programs(1)
    row, kv_head = row_and_head // KV_HEADS, row_and_head % KV_HEADS
    folded = tile * TILE + tl.arange(0, TILE)
    slot, shared = folded // SHARED, folded % SHARED
    live = slot < slots
    channel = tl.arange(0, HEAD)
    query_at = ((row * slots + slot) * KV_HEADS + kv_head) * SHARED + shared
    asked = tl.load(
        query + query_at[:, None] * HEAD + channel[None, :], mask=live[:, None], other=0.0
    )
    at = tl.load(positions + row * slots + slot, mask=live, other=-1)
    top = tl.full((TILE,), MASKED, dtype=tl.float32)
    sums = tl.zeros((TILE,), dtype=tl.float32)
    mixed = tl.zeros((TILE, HEAD), dtype=tl.float32)
    last = tl.minimum((split + 1) * SPLIT, tl.max(at, axis=0) + 1)
    for start in range(split * SPLIT, last, TILE_KEYS):
        key = start + tl.arange(0, TILE_KEYS)
        key_at = (row * cached + key) * KV_HEADS + kv_head
        block = tl.load(
            keys + key_at[None, :] * HEAD + channel[:, None],
            mask=(key < cached)[None, :],
            other=0.0,
        )
        scores = tl.dot(asked, block, input_precision="ieee") * scale
        seen = (key[None, :] <= at[:, None]) & (key[None, :] > at[:, None] - window)
        scores = tl.where(seen, scores, MASKED)
        higher = tl.maximum(top, tl.max(scores, axis=1))
        share = tl.where(seen, tl.exp(scores - higher[:, None]), 0.0)
        fade = tl.exp(top - higher)
        sums = sums * fade + tl.sum(share, axis=1)
        block = tl.load(
            values + key_at[:, None] * HEAD + channel[None, :],
            mask=(key < cached)[:, None],
            other=0.0,
        )
        mixed = mixed * fade[:, None]
        mixed = tl.dot(share.to(block.dtype), block, mixed, input_precision="ieee")
        top = higher
    left = ((row_and_head * splits + split) * tiles + tile) * TILE + tl.arange(0, TILE)
    tl.store(highest + left, top)
    tl.store(weights + left, sums)
    tl.store(partial + left[:, None] * HEAD + channel[None, :], mixed)


@triton.jit
def combine_kernel(
    partial,
    highest,
    weights,
    outputs,
    slots,
    splits,
    KV_HEADS: tl.constexpr,
    SHARED: tl.constexpr,
    HEAD: tl.constexpr,
    TILE: tl.constexpr,
):
    """Join the splits of one tile of queries, in ascending order."""
    tile, row_and_head = tl.program_id(0), tl.program_id(1)
    tiles = tl.num_programs(0)
    row, kv_head = row_and_head // KV_HEADS, row_and_head % KV_HEADS
    channel = tl.arange(0, HEAD)
    top = tl.full((TILE,), MASKED, dtype=tl.float32)
    sums = tl.zeros((TILE,), dtype=tl.float32)
    mixed = tl.zeros((TILE, HEAD), dtype=tl.float32)
    for split in range(0, splits):
        left = ((row_and_head * splits + split) * tiles + tile) * TILE + tl.arange(0, TILE)
        theirs = tl.load(highest + left)
        higher = tl.maximum(top, theirs)
        fade, share = tl.exp(top - higher), tl.exp(theirs - higher)
        sums = sums * fade + tl.load(weights + left) * share
        block = tl.load(partial + left[:, None] * HEAD + channel[None, :])
        mixed = mixed * fade[:, None] + block * share[:, None]
        top = higher
    folded = tile * TILE + tl.arange(0, TILE)
    slot, shared = folded // SHARED, folded % SHARED
    at = ((row * slots + slot) * KV_HEADS + kv_head) * SHARED + shared
    tl.store(
        outputs + at[:, None] * HEAD + channel[None, :],
        (mixed / tl.where(sums > 0.0, sums, 1.0)[:, None]).to(outputs.dtype.element_ty),
        mask=(slot < slots)[:, None],
    )
