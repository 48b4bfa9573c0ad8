"""The Triton kernels of attention over a static cache, in splits of one fixed size.

Splits start at position 0, so which keys are summed together does not depend on where a query
stands, on how many queries there are, or on how far the cache reaches.
"""

from __future__ import annotations

import triton
import triton.language as tl

from equivcheck.decoding.kernels.starting import take_turn

MASKED = tl.constexpr(-1.0e30)
"""Stands for minus infinity, whose difference with itself is no number."""


@triton.jit
def attention_kernel(
    query,
    keys,
    values,
    positions,
    rows,
    outputs,
    partial,
    highest,
    weights,
    slots,
    reach,
    buffered,
    window,
    scale,
    KV_HEADS: tl.constexpr,
    SHARED: tl.constexpr,
    HEAD: tl.constexpr,
    CHANNELS: tl.constexpr,
    TILE: tl.constexpr,
    TILE_KEYS: tl.constexpr,
    SPLIT: tl.constexpr,
    MAPPED: tl.constexpr,
    SINGLE: tl.constexpr,
    AHEAD: tl.constexpr,
):
    """One split of the cache for one tile of queries of one key/value head.

    A block of keys that is hidden from a query adds exactly 0. Left behind, per split and query:
    the highest score, the sum of weights, the weighted values; or, where there is a `SINGLE`
    split, what `combine_kernel` would make of them.

    `buffered` positions lie between the rows of the cache, the first `reach` of which are seen.
    Where windows are `MAPPED`, `rows` says which row of the cache each stands in.
    """
    if AHEAD:
        take_turn()
    split, tile, row_and_head = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    splits, tiles = tl.num_programs(0), tl.num_programs(1)
    row, kv_head = row_and_head // KV_HEADS, row_and_head % KV_HEADS
    folded = tile * TILE + tl.arange(0, TILE)
    slot, shared = folded // SHARED, folded % SHARED
    live = slot < slots
    channel = tl.arange(0, CHANNELS)
    within = channel < HEAD
    query_at = ((row * slots + slot) * KV_HEADS + kv_head) * SHARED + shared
    asked = tl.load(
        query + query_at[:, None] * HEAD + channel[None, :],
        mask=live[:, None] & within[None, :],
        other=0.0,
    )
    at = tl.load(positions + row * slots + slot, mask=live, other=-1)
    top = tl.full((TILE,), MASKED, dtype=tl.float32)
    sums = tl.zeros((TILE,), dtype=tl.float32)
    mixed = tl.zeros((TILE, CHANNELS), dtype=tl.float32)
    # A cache may hold more numbers than 32 bits can count.
    home = tl.load(rows + row) if MAPPED else row.to(tl.int64)
    first = (home * buffered * KV_HEADS + kv_head) * HEAD
    last = tl.minimum(tl.minimum((split + 1) * SPLIT, reach), tl.max(at, axis=0) + 1)
    for start in range(split * SPLIT, last, TILE_KEYS):
        key = start + tl.arange(0, TILE_KEYS)
        key_at = first + key * (KV_HEADS * HEAD)
        block = tl.load(
            keys + key_at[None, :] + channel[:, None],
            mask=(key < reach)[None, :] & within[:, None],
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
            values + key_at[:, None] + channel[None, :],
            mask=(key < reach)[:, None] & within[None, :],
            other=0.0,
        )
        mixed = mixed * fade[:, None]
        mixed = tl.dot(share.to(block.dtype), block, mixed, input_precision="ieee")
        top = higher
    if SINGLE:
        tl.store(
            outputs + query_at[:, None] * HEAD + channel[None, :],
            (mixed / tl.where(sums > 0.0, sums, 1.0)[:, None]).to(outputs.dtype.element_ty),
            mask=live[:, None] & within[None, :],
        )
    else:
        left = ((row_and_head * splits + split) * tiles + tile) * TILE + tl.arange(0, TILE)
        tl.store(highest + left, top)
        tl.store(weights + left, sums)
        tl.store(partial + left[:, None] * CHANNELS + channel[None, :], mixed)


@triton.jit
def combine_kernel(
    outputs,
    partial,
    highest,
    weights,
    slots,
    splits,
    KV_HEADS: tl.constexpr,
    SHARED: tl.constexpr,
    HEAD: tl.constexpr,
    CHANNELS: tl.constexpr,
    TILE: tl.constexpr,
    AHEAD: tl.constexpr,
):
    """Join the splits of one tile of queries, in ascending order.

    An empty split adds exactly 0, and a split alone is multiplied by exactly 1.
    """
    if AHEAD:
        take_turn()
    tile, row_and_head = tl.program_id(0), tl.program_id(1)
    tiles = tl.num_programs(0)
    row, kv_head = row_and_head // KV_HEADS, row_and_head % KV_HEADS
    channel = tl.arange(0, CHANNELS)
    within = channel < HEAD
    top = tl.full((TILE,), MASKED, dtype=tl.float32)
    sums = tl.zeros((TILE,), dtype=tl.float32)
    mixed = tl.zeros((TILE, CHANNELS), dtype=tl.float32)
    for split in range(0, splits):
        left = ((row_and_head * splits + split) * tiles + tile) * TILE + tl.arange(0, TILE)
        theirs = tl.load(highest + left)
        higher = tl.maximum(top, theirs)
        fade, share = tl.exp(top - higher), tl.exp(theirs - higher)
        sums = sums * fade + tl.load(weights + left) * share
        block = tl.load(partial + left[:, None] * CHANNELS + channel[None, :])
        mixed = mixed * fade[:, None] + block * share[:, None]
        top = higher
    folded = tile * TILE + tl.arange(0, TILE)
    slot, shared = folded // SHARED, folded % SHARED
    at = ((row * slots + slot) * KV_HEADS + kv_head) * SHARED + shared
    tl.store(
        outputs + at[:, None] * HEAD + channel[None, :],
        (mixed / tl.where(sums > 0.0, sums, 1.0)[:, None]).to(outputs.dtype.element_ty),
        mask=(slot < slots)[:, None] & within[None, :],
    )
