"""The small operations of a layer, each as one Triton kernel.

Operation by operation they take some 30 launches a layer, which on a fast GPU costs a small model
more time than its products do.
"""

from __future__ import annotations

import triton
import triton.language as tl

from equivcheck.decoding.kernels.starting import take_turn


@triton.jit
def add_norm_kernel(
    hidden,
    change,
    gain,
    summed,
    normed,
    width,
    eps,
    HAS_CHANGE: tl.constexpr,
    TILE: tl.constexpr,
    AHEAD: tl.constexpr,
):
    """``hidden + change`` and its RMS norm, of one row of `width` numbers.

    The sum is rounded as it is stored, before it is squared. Squares are summed in one fixed tree.
    """
    if AHEAD:
        take_turn()
    row = tl.program_id(0)
    index = tl.arange(0, TILE)
    within = index < width
    at = row * width + index
    values = tl.load(hidden + at, mask=within, other=0.0)
    if HAS_CHANGE:
        values = values.to(tl.float32) + tl.load(change + at, mask=within, other=0.0)
        values = values.to(summed.dtype.element_ty)
        tl.store(summed + at, values, mask=within)
    wide = values.to(tl.float32)
    scale = tl.rsqrt(tl.sum(wide * wide, axis=0) / width + eps)
    rounded = (wide * scale).to(normed.dtype.element_ty).to(tl.float32)
    scaled = rounded * tl.load(gain + index, mask=within, other=0.0).to(tl.float32)
    tl.store(normed + at, scaled.to(normed.dtype.element_ty), mask=within)


@triton.jit
def rotate_and_store_kernel(
    heads,
    cosines,
    sines,
    positions,
    query_gain,
    key_gain,
    rows,
    queries,
    keys,
    values,
    width,
    buffered,
    eps,
    HEADS: tl.constexpr,
    KV_HEADS: tl.constexpr,
    HEAD: tl.constexpr,
    CHANNELS: tl.constexpr,
    NORMED: tl.constexpr,
    AHEAD: tl.constexpr,
):
    """One head of one token: norm and rotate it, if it is no value; put it where it belongs.

    Nothing is stored outside the `buffered` positions of the token's own row.
    """
    if AHEAD:
        take_turn()
    token, head = tl.program_id(0), tl.program_id(1)
    channel = tl.arange(0, CHANNELS)
    within = channel < HEAD
    at = tl.load(positions + token)
    row = tl.load(rows + token // width)
    source = heads + (token * (HEADS + 2 * KV_HEADS) + head) * HEAD
    given = tl.load(source + channel, mask=within, other=0.0)
    place = (row * buffered + at) * (KV_HEADS * HEAD) + channel
    inside = within & (at >= 0) & (at < buffered)
    if head < HEADS + KV_HEADS:
        other = (channel + HEAD // 2) % HEAD
        ours = given.to(tl.float32)
        theirs = tl.load(source + other, mask=within, other=0.0).to(tl.float32)
        if NORMED:
            gain = query_gain if head < HEADS else key_gain
            scale = tl.rsqrt(tl.sum(ours * ours, axis=0) / HEAD + eps)
            ours *= scale * tl.load(gain + channel, mask=within, other=0.0)
            theirs *= scale * tl.load(gain + other, mask=within, other=0.0)
        cosine = tl.load(cosines + token * HEAD + channel, mask=within, other=0.0)
        sine = tl.load(sines + token * HEAD + channel, mask=within, other=0.0)
        turned = (ours * cosine + theirs * sine).to(queries.dtype.element_ty)
        if head < HEADS:
            tl.store(queries + (token * HEADS + head) * HEAD + channel, turned, mask=within)
        else:
            tl.store(keys + place + (head - HEADS) * HEAD, turned, mask=inside)
    else:
        tl.store(values + place + (head - HEADS - KV_HEADS) * HEAD, given, mask=inside)


@triton.jit
def gate_kernel(
    gate_up,
    outputs,
    inner,
    ACTIVATION: tl.constexpr,
    TILE: tl.constexpr,
    AHEAD: tl.constexpr,
):
    """``activation(gate) * up`` for one tile of one row: [rows, 2 * inner] to [rows, inner]."""
    if AHEAD:
        take_turn()
    row, column = tl.program_id(0), tl.program_id(1) * TILE + tl.arange(0, TILE)
    within = column < inner
    gate = tl.load(gate_up + row * 2 * inner + column, mask=within, other=0.0).to(tl.float32)
    up = tl.load(gate_up + (row * 2 + 1) * inner + column, mask=within, other=0.0).to(tl.float32)
    if ACTIVATION == "silu":
        active = gate * tl.sigmoid(gate)
    elif ACTIVATION == "gelu":
        active = 0.5 * gate * (1.0 + tl.erf(gate * 0.7071067811865476))
    else:
        tl.static_assert(ACTIVATION == "gelu_pytorch_tanh")
        # (1 + tanh(x)) / 2 is the sigmoid of 2 x.
        active = gate * tl.sigmoid(1.5957691216057308 * (gate + 0.044715 * gate * gate * gate))
    gated = (active * up).to(outputs.dtype.element_ty)
    tl.store(outputs + row * inner + column, gated, mask=within)
