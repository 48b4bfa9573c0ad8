"""Every arithmetic computes the same thing; the batch-invariant ones to the bit in any company.

The Triton kernels run in Triton's interpreter, which has no bfloat16.
"""

from __future__ import annotations

import importlib.util

import pytest
import torch
from torch import Tensor

from equivcheck.decoding.backends.compiled import AmxBackend, CompiledBackend
from equivcheck.decoding.backends.interface import Backend, HeadNorms, KeyValues, Standing
from equivcheck.decoding.backends.stock import ACTIVATIONS, STOCK
from equivcheck.decoding.backends.tiled import TiledBackend
from equivcheck.decoding.kernels.library import missing_for_compiled, missing_for_tiles

TOLERANCE = {torch.float32: 2e-6, torch.float16: 4e-3, torch.bfloat16: 3e-2}
CACHED = 600
"""More positions than one split of the kernels, and no multiple of it."""
EPS = 1e-6


def own_kernels(*, products: bool) -> Backend:
    """The kernels as Triton interprets them, whatever device there is."""
    if importlib.util.find_spec("triton") is None:
        pytest.skip("needs triton")
    if torch.cuda.is_available():
        pytest.skip("tests/gpu runs the compiled kernels")
    from equivcheck.decoding.backends.fused import FusedBackend
    from equivcheck.decoding.backends.invariant import InvariantBackend

    return InvariantBackend() if products else FusedBackend()


@pytest.fixture(params=["tiled", "triton", "compiled", "amx"])
def backend(request: pytest.FixtureRequest) -> Backend:
    if request.param in ("compiled", "amx"):
        return AmxBackend() if request.param == "amx" else CompiledBackend()
    return TiledBackend() if request.param == "tiled" else own_kernels(products=True)


@pytest.fixture(params=[torch.float32, torch.float16, torch.bfloat16], ids=str)
def dtype(request: pytest.FixtureRequest, backend: Backend) -> torch.dtype:
    chosen: torch.dtype = request.param
    if backend.name == "triton" and chosen is torch.bfloat16:
        pytest.skip("the interpreter has no bfloat16")
    if backend.name == "compiled" and (missing := missing_for_compiled(chosen)):
        pytest.skip(f"compiled kernels: {missing}")
    if backend.name == "amx" and (missing := missing_for_tiles(chosen)):
        pytest.skip(f"products on AMX tiles: {missing}")
    return chosen


def noise(*shape: int, dtype: torch.dtype, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed + sum(shape))
    return torch.randn(shape, generator=generator).to(dtype)


def close(one: Tensor, other: Tensor) -> bool:
    assert one.dtype is other.dtype
    return torch.allclose(one.float(), other.float(), atol=TOLERANCE[one.dtype], rtol=1e-2)


@pytest.mark.parametrize("biased", [False, True])
def test_linear(backend: Backend, dtype: torch.dtype, biased: bool) -> None:
    inputs, weight = noise(3, 7, 96, dtype=dtype), noise(80, 96, dtype=dtype) * 0.1
    bias = noise(80, dtype=dtype) if biased else None
    expected = STOCK.linear(inputs, weight, bias)
    together = backend.linear(inputs, weight, bias)
    assert close(together, expected)
    for row in range(3):
        for slot in range(7):
            alone = backend.linear(inputs[row : row + 1, slot : slot + 1], weight, bias)
            assert torch.equal(alone[0, 0], together[row, slot])


def test_norm(backend: Backend, dtype: torch.dtype) -> None:
    hidden, gain = noise(3, 5, 96, dtype=dtype), noise(96, dtype=dtype)
    together = backend.norm(hidden, gain, eps=EPS)
    assert close(together, STOCK.norm(hidden, gain, eps=EPS))
    assert torch.equal(backend.norm(hidden[1:2, 2:3], gain, eps=EPS)[0, 0], together[1, 2])


def test_add_norm(backend: Backend, dtype: torch.dtype) -> None:
    hidden, gain = noise(3, 5, 96, dtype=dtype), noise(96, dtype=dtype)
    change = noise(3, 5, 96, dtype=dtype, seed=1)
    summed, normed = backend.add_norm(hidden, change, gain, eps=EPS)
    # Rounded as it is stored, and normed as it is rounded.
    assert torch.equal(summed, hidden + change)
    assert torch.equal(normed, backend.norm(summed, gain, eps=EPS))
    alone = backend.add_norm(hidden[1:2, 2:3], change[1:2, 2:3], gain, eps=EPS)
    assert torch.equal(alone[1][0, 0], normed[1, 2])


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gate(backend: Backend, dtype: torch.dtype, activation: str) -> None:
    gate_up = 3 * noise(2, 3, 2 * 1100, dtype=dtype)
    together = backend.gate(gate_up, activation=activation)
    assert close(together, STOCK.gate(gate_up, activation=activation))
    alone = backend.gate(gate_up[1:, 2:], activation=activation)
    assert torch.equal(alone[0, 0], together[1, 2])


def standing(positions: Tensor, *, head: int, dtype: torch.dtype) -> Standing:
    """Angles of no particular model."""
    rows = torch.arange(positions.shape[0])[:, None]
    angles = positions[..., None] * torch.linspace(1.0, 0.01, head // 2)
    cosines = torch.cat([angles.cos(), angles.cos()], dim=-1)
    sines = torch.cat([-angles.sin(), angles.sin()], dim=-1)
    return Standing(rows, positions, cosines.to(dtype), sines.to(dtype))


@pytest.mark.parametrize("head", [32, 24])
@pytest.mark.parametrize("normed", [False, True])
def test_rotate_and_store(backend: Backend, dtype: torch.dtype, head: int, normed: bool) -> None:
    heads, kv_heads = 4, 2
    given = noise(3, 5, heads + 2 * kv_heads, head, dtype=dtype)
    at = standing(torch.tensor([3, 0, 35])[:, None] + torch.arange(5), head=head, dtype=dtype)
    norms = None
    if normed:
        gains = [noise(head, dtype=dtype, seed=seed) for seed in (1, 2)]
        norms = HeadNorms(*gains)

    def run(engine: Backend) -> tuple[Tensor, KeyValues]:
        buffers = [noise(3, 40, kv_heads, head, dtype=dtype, seed=seed) for seed in (3, 4)]
        into = KeyValues(*buffers)
        return engine.rotate_and_store(given, at, into, norms=norms, eps=EPS), into

    (query, cache), (expected, filled) = run(backend), run(STOCK)
    assert close(query, expected)
    assert close(cache.keys, filled.keys)
    assert torch.equal(cache.values, filled.values)


@pytest.mark.parametrize("window", [None, 100])
@pytest.mark.parametrize("head", [32, 24])
def test_attention(backend: Backend, dtype: torch.dtype, window: int | None, head: int) -> None:
    query = noise(2, 5, 4, head, dtype=dtype)
    cache = KeyValues(*(noise(2, CACHED, 2, head, dtype=dtype, seed=seed) for seed in (1, 2)))
    starts = torch.tensor([3, 254])
    positions = starts[:, None] + torch.arange(5)

    def attend(engine: Backend, rows: slice, slots: slice, *, reach: int = CACHED) -> Tensor:
        visible = engine.visible(
            positions[rows, slots], keys=torch.arange(reach), window=window, shared=2, dtype=dtype
        )
        seen = KeyValues(cache.keys[rows, :reach], cache.values[rows, :reach])
        return engine.attend(query[rows, slots], seen, visible)

    together = attend(backend, slice(None), slice(None))
    assert close(together, attend(STOCK, slice(None), slice(None)))
    for row in range(2):
        for slot in range(5):
            alone = attend(backend, slice(row, row + 1), slice(slot, slot + 1))
            assert torch.equal(alone[0, 0], together[row, slot])
    if backend.name in ("triton", "compiled", "amx"):
        # Fewer splits, down to one that is not combined with any, and a cache seen in part.
        for reach in (512, 320, 259):
            nearer = attend(backend, slice(None), slice(None), reach=reach)
            assert torch.equal(nearer, together), reach
        near = attend(backend, slice(0, 1), slice(None), reach=200)
        assert torch.equal(near, together[:1])


def test_windows_may_share_a_row(backend: Backend, dtype: torch.dtype) -> None:
    """Each stands and sees as if it were the only window of its row."""
    rows = torch.tensor([2, 0, 2])
    starts = torch.tensor([6, 250, 257])
    positions = starts[:, None] + torch.arange(5)
    given = noise(3, 5, 4 + 2 * 2, 32, dtype=dtype)
    at = standing(positions, head=32, dtype=dtype)

    def run(windows: list[int]) -> tuple[Tensor, Tensor, KeyValues]:
        keys, values = (noise(4, CACHED, 2, 32, dtype=dtype, seed=seed) for seed in (3, 4))
        cache = KeyValues(keys, values, rows[windows])
        part = Standing(rows[windows, None], *(each[windows] for each in at[1:]))
        queries = backend.rotate_and_store(given[windows], part, cache, norms=None, eps=EPS)
        visible = backend.visible(
            positions[windows], keys=torch.arange(CACHED), window=None, shared=2, dtype=dtype
        )
        return queries, backend.attend(queries, cache, visible), cache

    queries, mixed, cache = run([0, 1, 2])
    for window in (0, 1):
        query, alone, _ = run([window])
        assert torch.equal(query[0], queries[window])
        assert torch.equal(alone[0], mixed[window])
    for window in range(3):
        _, _, written = run([window])
        row, place = rows[window], positions[window]
        assert torch.equal(cache.keys[row, place], written.keys[row, place])
        assert torch.equal(cache.values[row, place], written.values[row, place])
    # The last window sees what the first has written; by itself it sees what lay there before.
    assert not torch.equal(run([2])[1][0], mixed[2])


def test_what_lies_behind_a_query_weighs_nothing(backend: Backend, dtype: torch.dtype) -> None:
    query = noise(1, 2, 4, 32, dtype=dtype)
    cache = KeyValues(*(noise(1, CACHED, 2, 32, dtype=dtype, seed=seed) for seed in (3, 4)))
    positions = torch.tensor([[100, 101]])
    visible = backend.visible(
        positions, keys=torch.arange(CACHED), window=None, shared=2, dtype=dtype
    )
    before = backend.attend(query, cache, visible)
    cache.keys[:, 102:], cache.values[:, 102:] = 50.0, -50.0
    assert torch.equal(backend.attend(query, cache, visible), before)
