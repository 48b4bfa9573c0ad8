"""The Triton kernel of a matrix product: a row's result depends on that row alone.

One fp32 accumulator a number, filled in ascending order, with no split of the sum, whatever the
tiles; fp32 products in full precision.
"""

from __future__ import annotations

import triton
import triton.language as tl

from equivcheck.decoding.kernels.starting import fetch, take_turn

LINE_BYTES = tl.constexpr(128)
"""That the L2 cache fetches together."""


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
    SWAPPED: tl.constexpr,
    FETCHED: tl.constexpr,
    AHEAD: tl.constexpr,
):
    """``inputs @ weight.T + bias``; row-major [rows, inner], [columns, inner], [rows, columns].

    `SWAPPED` computes it as ``(weight @ inputs.T).T``. Started `AHEAD`, a program has the first
    `FETCHED` numbers of its weights' rows fetched while it waits for its inputs.

    Row tiles vary fastest, so that those of one weight tile run together and share it in the L2.
    """
    row = tl.program_id(0) * TILE_ROWS + tl.arange(0, TILE_ROWS)
    column = tl.program_id(1) * TILE_COLUMNS + tl.arange(0, TILE_COLUMNS)
    # A weight may hold more numbers than 32 bits can count.
    weight_row = weight + column.to(tl.int64) * inner
    depth = tl.arange(0, TILE_INNER)
    if AHEAD:
        if FETCHED > 0:
            line: tl.constexpr = LINE_BYTES // (weight.dtype.element_ty.primitive_bitwidth // 8)
            lines = tl.minimum(tl.arange(0, FETCHED // line) * line, inner - 1)
            held = tl.minimum(column, columns - 1).to(tl.int64) * inner
            fetch(weight + held[:, None] + lines[None, :])
        take_turn()
    if SWAPPED:
        total = tl.zeros((TILE_COLUMNS, TILE_ROWS), dtype=tl.float32)
    else:
        total = tl.zeros((TILE_ROWS, TILE_COLUMNS), dtype=tl.float32)
    for start in range(0, inner, TILE_INNER):
        within = start + depth < inner
        if SWAPPED:
            left = tl.load(
                weight_row[:, None] + (start + depth)[None, :],
                mask=(column < columns)[:, None] & within[None, :],
                other=0.0,
            )
            right = tl.load(
                inputs + row[None, :] * inner + (start + depth)[:, None],
                mask=(row < rows)[None, :] & within[:, None],
                other=0.0,
            )
        else:
            left = tl.load(
                inputs + row[:, None] * inner + (start + depth)[None, :],
                mask=(row < rows)[:, None] & within[None, :],
                other=0.0,
            )
            right = tl.load(
                weight_row[None, :] + (start + depth)[:, None],
                mask=(column < columns)[None, :] & within[:, None],
                other=0.0,
            )
        total = tl.dot(left, right, total, input_precision="ieee")
    if SWAPPED:
        total = tl.trans(total)
    if HAS_BIAS:
        total += tl.load(bias + column, mask=column < columns, other=0.0)[None, :].to(tl.float32)
    tl.store(
        outputs + row[:, None] * columns + column[None, :],
        total.to(outputs.dtype.element_ty),
        mask=(row < rows)[:, None] & (column < columns)[None, :],
    )
