"""Products from packed weights are products; the copies are counted, and go with their weights."""

from __future__ import annotations

import gc
import os
import subprocess
import sys

import pytest
import torch

from equivcheck.bench.probing import _weight_bytes
from equivcheck.decoding.adoption import adopt
from equivcheck.decoding.backends.choose import (
    AMX,
    COMPILED,
    PACKED,
    TILED,
    backend_for,
    fastest_products,
)
from equivcheck.decoding.backends.packed import PackedBackend, can_pack
from equivcheck.decoding.backends.stock import STOCK
from equivcheck.decoding.kernels.library import missing_for_compiled, missing_for_tiles
from tests.unit.decoding.models import random_llama

pytestmark = pytest.mark.skipif(
    not can_pack(torch.float32), reason="this build of torch cannot pack weights"
)
CPU = torch.device("cpu")
MULTIPLY = """
import torch
from equivcheck.decoding.backends.choose import PACKED, fastest_products
for dtype in (torch.float32, torch.bfloat16):
    print(fastest_products(torch.device("cpu"), dtype=dtype).name)
inputs, weight = (torch.randn(n, 512, dtype=torch.bfloat16) for n in (8, 1024))
print(torch.equal(PACKED.linear(inputs, weight), torch.nn.functional.linear(inputs, weight)))
"""
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2e-2, torch.float16: 2e-2}


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("rows", [1, 8, 64])
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("columns", [48, 3072])
def test_a_packed_product_is_the_product(
    dtype: torch.dtype, rows: int, biased: bool, columns: int
) -> None:
    generator = torch.Generator().manual_seed(rows)
    inputs = torch.randn(2, rows, 96, generator=generator)
    weight = torch.randn(columns, 96, generator=generator) / 10
    bias = torch.randn(columns, generator=generator) if biased else None
    exact = torch.nn.functional.linear(inputs, weight, bias)
    low = None if bias is None else bias.to(dtype)
    packed = PackedBackend().linear(inputs.to(dtype), weight.to(dtype), low)
    assert packed.dtype is dtype
    assert packed.shape == exact.shape
    assert float((packed.float() - exact).abs().max()) < TOLERANCE[dtype] * float(exact.abs().max())


def test_a_weight_is_packed_once_and_forgotten_with_it() -> None:
    backend = PackedBackend()
    weight, inputs = torch.randn(64, 32), torch.randn(8, 32)
    assert backend.copied_bytes(weight) == 0
    backend.linear(inputs, weight)
    first = backend.packed[weight]
    backend.linear(inputs, weight)
    assert backend.packed[weight] is first
    assert backend.copied_bytes(weight) == weight.nbytes
    del weight, first
    gc.collect()
    assert len(backend.packed) == 0


def test_copies_count_as_memory_that_the_model_holds() -> None:
    llama = random_llama(torch.float32)
    plain, packed = (adopt(llama, positions=128, backend=each) for each in (STOCK, PackedBackend()))
    linears = sum(
        weight.nbytes
        for layer in packed.weights.layers
        for weight in (layer.query_key_value, layer.attention_out, layer.gate_up, layer.down)
    )
    assert _weight_bytes(packed) == _weight_bytes(plain) + linears + packed.weights.head.nbytes


def test_packing_is_for_cpus_and_tells_its_name() -> None:
    single = torch.float32
    assert fastest_products(CPU, dtype=single, kernels="packed") is PACKED
    assert fastest_products(CPU, dtype=single, kernels="library") is STOCK
    invariant = backend_for("batch-invariant", device=CPU, dtype=single, kernels="packed")
    assert invariant is TILED
    fastest = PACKED if missing_for_compiled(torch.float32) else COMPILED
    assert fastest_products(CPU, dtype=torch.float32) is fastest
    if missing_for_compiled(torch.bfloat16) is None:
        fastest = COMPILED if missing_for_tiles(torch.bfloat16) else AMX
        assert fastest_products(CPU, dtype=torch.bfloat16) is fastest
    assert fastest_products(CPU, dtype=torch.float16) is STOCK
    assert (PACKED.name, PACKED.batch_invariant) == ("packed", False)


def test_bf16_is_multiplied_as_it_lies_where_the_cpu_cannot_pack_it() -> None:
    """oneDNN refuses to pack bf16 on a CPU without AVX-512; here it is told that this is one."""
    older = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
    told = subprocess.run(
        [sys.executable, "-c", MULTIPLY], env=older, capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stderr
    assert told.stdout.split() == ["packed", "stock", "True"]


@pytest.mark.parametrize("backend", [PACKED, TILED], ids=lambda each: each.name)
def test_nothing_is_packed_off_the_cpu(backend: PackedBackend) -> None:
    """Other devices have no such layout; `meta` stands for them, where nothing is computed."""
    for dtype in (torch.float32, torch.bfloat16):
        inputs, weight = (torch.empty(n, 512, dtype=dtype, device="meta") for n in (8, 1024))
        assert backend.linear(inputs, weight).shape == (8, 1024)
        assert backend.copied_bytes(weight) == 0
