"""The project's Triton kernels, compiled and run: against torch's, and in any company."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from benchmarks.ahead import ARMS, launching
from equivcheck.decoding.backends.choose import fastest_products, own_kernels
from equivcheck.decoding.backends.interface import Backend, HeadNorms, KeyValues
from equivcheck.decoding.backends.stock import ACTIVATIONS, STOCK
from equivcheck.decoding.contract import probe_contract
from equivcheck.decoding.drafters import ModelDrafter
from equivcheck.decoding.kernels.needs import missing_for_kernels
from equivcheck.decoding.streams import LARGEST_UNIFORM, uniforms
from tests.gpu.models import DEVICE, DTYPES, POSITIONS, decoder, model_on_gpu
from tests.unit.decoding.models import decode, make_requests

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
    pytest.mark.skipif(
        torch.cuda.is_available() and missing_for_kernels(DEVICE) is not None,
        reason="the project's kernels cannot run here",
    ),
]

TOLERANCE = {torch.bfloat16: 3e-2, torch.float16: 4e-3, torch.float32: 1e-5}
EPS = 1e-6
REACH = 520
"""More than two splits of attention, and no multiple of one."""


def noise(*shape: int, dtype: torch.dtype, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed + sum(shape))
    return torch.randn(shape, generator=generator).to(DEVICE, dtype)


def assert_close(some: tuple[Tensor, ...], others: tuple[Tensor, ...]) -> None:
    for one, other in zip(some, others, strict=True):
        # Torch rounds between operations that the kernels do at once.
        tolerance = TOLERANCE[one.dtype]
        torch.testing.assert_close(one, other, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize(("columns", "inner"), [(768, 768), (1536, 4096), (20_480, 1000)])
def test_products_have_the_same_bits_for_any_number_of_rows(
    dtype: torch.dtype, columns: int, inner: int
) -> None:
    """Few and many rows are cut up otherwise; 300 fill more than one tile of either kind."""
    own = own_kernels()
    inputs, weight = noise(300, inner, dtype=dtype), noise(columns, inner, dtype=dtype)
    weight, bias = weight / inner**0.5, noise(columns, dtype=dtype)
    whole = own.linear(inputs, weight, bias)
    assert_close((whole,), (torch.nn.functional.linear(inputs, weight, bias),))
    for rows in (1, 8, 16, 17, 128):
        assert torch.equal(own.linear(inputs[:rows], weight, bias), whole[:rows])
    assert torch.equal(
        fastest_products(DEVICE, dtype=inputs.dtype).linear(inputs[:8], weight, bias), whole[:8]
    )


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_norm_and_gate_compute_what_torch_does(dtype: torch.dtype) -> None:
    own = own_kernels()
    for width in (576, 4096):
        hidden, change = (noise(3, 8, width, dtype=dtype, seed=seed) for seed in (0, 1))
        gain = noise(width, dtype=dtype)
        assert_close(
            own.add_norm(hidden, change, gain, eps=EPS),
            STOCK.add_norm(hidden, change, gain, eps=EPS),
        )
    gate_up = noise(3, 8, 2 * 1536, dtype=dtype)
    for activation in ACTIVATIONS:
        assert_close(
            (own.gate(gate_up, activation=activation),),
            (STOCK.gate(gate_up, activation=activation),),
        )


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("head", [64, 80, 128])
@pytest.mark.parametrize("normed", [False, True])
def test_attention_computes_what_torch_does(dtype: torch.dtype, head: int, normed: bool) -> None:
    positions = torch.tensor([[3], [200], [500]], device=DEVICE) + torch.arange(8, device=DEVICE)
    angles = [noise(3, 8, head, dtype=dtype, seed=seed) for seed in (5, 6)]
    standing = model_on_gpu(dtype).standing(positions)._replace(cosines=angles[0], sines=angles[1])
    given = noise(3, 8, 8 + 2 * 4, head, dtype=dtype)
    norms = HeadNorms(*(noise(head, dtype=dtype, seed=at) for at in (1, 2))) if normed else None

    def run(backend: Backend) -> tuple[Tensor, ...]:
        cache = KeyValues(*(noise(3, POSITIONS, 4, head, dtype=dtype, seed=at) for at in (3, 4)))
        query = backend.rotate_and_store(given, standing, cache, norms=norms, eps=EPS)
        visible = backend.visible(
            positions, keys=torch.arange(REACH, device=DEVICE), window=None, shared=2, dtype=dtype
        )
        # Of one input for both: what the kernels round otherwise is no matter here.
        asked = noise(3, 8, 8, head, dtype=dtype, seed=7)
        seen = KeyValues(cache.keys[:, :REACH], cache.values[:, :REACH])
        return query, cache.keys, cache.values, backend.attend(asked, seen, visible)

    assert_close(run(own_kernels()), run(STOCK))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_windows_in_any_row_compute_what_torch_does(dtype: torch.dtype) -> None:
    rows = torch.tensor([2, 0, 2], device=DEVICE)
    starts = torch.tensor([[6], [200], [500]], device=DEVICE)
    positions = starts + torch.arange(8, device=DEVICE)
    standing = model_on_gpu(dtype).standing(positions)._replace(rows=rows[:, None])
    given = noise(3, 8, 8 + 2 * 4, 64, dtype=dtype)

    def run(backend: Backend) -> tuple[Tensor, ...]:
        keys, values = (noise(3, POSITIONS, 4, 64, dtype=dtype, seed=at) for at in (3, 4))
        cache = KeyValues(keys, values, rows)
        query = backend.rotate_and_store(given, standing, cache, norms=None, eps=EPS)
        visible = backend.visible(
            positions, keys=torch.arange(REACH, device=DEVICE), window=None, shared=2, dtype=dtype
        )
        asked = noise(3, 8, 8, 64, dtype=dtype, seed=7)
        seen = KeyValues(keys[:, :REACH], values[:, :REACH], rows)
        return query, keys, values, backend.attend(asked, seen, visible)

    assert_close(run(own_kernels()), run(STOCK))


@pytest.mark.parametrize("width", [1, 4, 1030, 32_000])
def test_noise_has_the_bits_of_tensor_arithmetic(width: int) -> None:
    from equivcheck.decoding.kernels.noise import uniform_noise

    keys = torch.tensor([[0, 0, 0], [7, 2**32 - 1, 2**31], [2**32 - 1, 5, 2**32 - 2]])
    positions = torch.tensor([[0, 1], [2**20, 3], [77, 78]])
    purposes = torch.tensor([[0, 1], [2, 3], [4, 0]])
    keys, positions, purposes = (each.to(DEVICE) for each in (keys, positions, purposes))
    drawn = uniform_noise(keys, positions, purposes, width=width, largest=LARGEST_UNIFORM)
    assert torch.equal(drawn, uniforms(keys, positions=positions, purposes=purposes, width=width))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_bits_do_not_depend_on_the_batch(dtype: torch.dtype) -> None:
    model = model_on_gpu(dtype, backend=own_kernels())
    assert not probe_contract(model, rows=8, width=8, tokens=32, operations=True).failed


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_kernels_started_ahead_leave_the_same_bits(dtype: torch.dtype) -> None:
    """What has not waited for its inputs would find those of another token, or layer.

    Two rows of eight slots, of which products are the project's own.
    """
    requests = make_requests(8, tokens=40)
    model = model_on_gpu(dtype)
    answers = []
    for arm in ARMS:
        with launching(arm):
            drafter = ModelDrafter(model_on_gpu(dtype, noise=0.05), rows=2)
            answers.append(decode(decoder(model, drafter, rows=2), requests))
    for each in answers[1:]:
        for key, answer in answers[0].items():
            assert each[key].token_ids == answer.token_ids
            assert each[key].logit_digests == answer.logit_digests
