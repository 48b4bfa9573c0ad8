"""Every arithmetic computes the same thing; the batch-invariant ones to the bit in any company.

The Triton kernels run in Triton's interpreter, which has no bfloat16.
"""

from __future__ import annotations

import importlib.util

import pytest
import torch
from torch import Tensor

from equivcheck.decoding.arithmetic.stock import STOCK, Arithmetic
from equivcheck.decoding.arithmetic.tiled import TiledArithmetic

TOLERANCE = {torch.float32: 2e-6, torch.float16: 4e-3, torch.bfloat16: 3e-2}
CACHED = 600
"""More positions than one split of the kernels, and no multiple of it."""


def own_kernels() -> Arithmetic:
    """The kernels as Triton interprets them, whatever device there is."""
    if importlib.util.find_spec("triton") is None:
        pytest.skip("needs triton")
    if torch.cuda.is_available():
        pytest.skip("tests/gpu runs the compiled kernels")
    from equivcheck.decoding.arithmetic.invariant import InvariantArithmetic

    return InvariantArithmetic()


@pytest.fixture(params=["tiled", "triton"])
def arithmetic(request: pytest.FixtureRequest) -> Arithmetic:
    return TiledArithmetic() if request.param == "tiled" else own_kernels()


@pytest.fixture(params=[torch.float32, torch.float16, torch.bfloat16], ids=str)
def dtype(request: pytest.FixtureRequest, arithmetic: Arithmetic) -> torch.dtype:
    chosen: torch.dtype = request.param
    if arithmetic.name == "triton" and chosen is torch.bfloat16:
        pytest.skip("the interpreter has no bfloat16")
    return chosen


def noise(*shape: int, dtype: torch.dtype, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed + sum(shape))
    return torch.randn(shape, generator=generator).to(dtype)


def close(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one.float(), other.float(), atol=TOLERANCE[one.dtype], rtol=1e-2)


@pytest.mark.parametrize("biased", [False, True])
def test_linear(arithmetic: Arithmetic, dtype: torch.dtype, biased: bool) -> None:
    inputs, weight = noise(3, 7, 96, dtype=dtype), noise(80, 96, dtype=dtype) * 0.1
    bias = noise(80, dtype=dtype) if biased else None
    expected = STOCK.linear(inputs, weight, bias)
    together = arithmetic.linear(inputs, weight, bias)
    assert close(together, expected)
    assert together.dtype is dtype
    for row in range(3):
        for slot in range(7):
            alone = arithmetic.linear(inputs[row : row + 1, slot : slot + 1], weight, bias)
            assert torch.equal(alone[0, 0], together[row, slot])


def test_norm(arithmetic: Arithmetic, dtype: torch.dtype) -> None:
    hidden, gain = noise(3, 5, 96, dtype=dtype), noise(96, dtype=dtype)
    together = arithmetic.norm(hidden, gain, eps=1e-6)
    assert close(together, STOCK.norm(hidden, gain, eps=1e-6))
    assert torch.equal(arithmetic.norm(hidden[1:2, 2:3], gain, eps=1e-6)[0, 0], together[1, 2])


@pytest.mark.parametrize("window", [None, 100])
def test_attention(arithmetic: Arithmetic, dtype: torch.dtype, window: int | None) -> None:
    query = noise(2, 5, 4, 32, dtype=dtype)
    keys, values = (noise(2, CACHED, 2, 32, dtype=dtype, seed=seed) for seed in (1, 2))
    starts = torch.tensor([3, 254])
    positions = starts[:, None] + torch.arange(5)

    def attend(engine: Arithmetic, rows: slice, slots: slice) -> Tensor:
        visible = engine.visible(
            positions[rows, slots], keys=torch.arange(CACHED), window=window, shared=2, dtype=dtype
        )
        return engine.attend(query[rows, slots], keys[rows], values[rows], visible)

    together = attend(arithmetic, slice(None), slice(None))
    assert close(together, attend(STOCK, slice(None), slice(None)))
    for row in range(2):
        for slot in range(5):
            alone = attend(arithmetic, slice(row, row + 1), slice(slot, slot + 1))
            assert torch.equal(alone[0, 0], together[row, slot])


def test_what_lies_behind_a_query_weighs_nothing(
    arithmetic: Arithmetic, dtype: torch.dtype
) -> None:
    query = noise(1, 2, 4, 32, dtype=dtype)
    keys, values = (noise(1, CACHED, 2, 32, dtype=dtype, seed=seed) for seed in (3, 4))
    positions = torch.tensor([[100, 101]])
    visible = arithmetic.visible(
        positions, keys=torch.arange(CACHED), window=None, shared=2, dtype=dtype
    )
    before = arithmetic.attend(query, keys, values, visible)
    keys[:, 102:], values[:, 102:] = 50.0, -50.0
    assert torch.equal(arithmetic.attend(query, keys, values, visible), before)
