"""Compiled kernels: built once, missed with a reason, and no write outside the cache."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from equivcheck.core.cache import VARIABLE
from equivcheck.decoding.adoption import adopt
from equivcheck.decoding.backends.compiled import CompiledBackend
from equivcheck.decoding.backends.interface import KeyValues, Standing
from equivcheck.decoding.contract import probe_contract
from equivcheck.decoding.kernels import library
from tests.unit.decoding.models import random_llama

here = pytest.mark.skipif(
    library.missing_for_compiled(torch.float32) is not None,
    reason=str(library.missing_for_compiled(torch.float32)),
)


def forget() -> None:
    for each in (library.kernels, library.uncompiled, library.missing_for_compiled):
        each.cache_clear()


@pytest.fixture
def anew(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """As on a machine where nothing was compiled yet."""
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    forget()
    yield tmp_path
    forget()


@here
def test_kernels_are_compiled_once_a_machine(anew: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library.kernels()
    (built,) = anew.glob("kernels/*/kernels.so")
    made = built.stat().st_mtime_ns

    def build(*given: object) -> None:
        raise AssertionError("compiled again")

    monkeypatch.setattr(library, "build", build)
    library.kernels.cache_clear()
    library.kernels()
    assert built.stat().st_mtime_ns == made


@here
def test_what_is_missing_is_said(anew: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "not written for torch.float16" in str(library.missing_for_compiled(torch.float16))
    monkeypatch.setenv("CXX", "no-such-compiler")
    missing = "the project's cannot be compiled: there is no C++ compiler (no-such-compiler)"
    assert library.missing_for_compiled(torch.float32) == missing
    forget()
    monkeypatch.setenv("CXX", "false")
    assert "the project's cannot be compiled: " in str(library.missing_for_compiled(torch.float32))
    forget()
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    assert library.missing_for_compiled(torch.float32) == "this CPU has no AVX-512"


@here
@pytest.mark.parametrize("place", [(0, 8), (0, -1), (2, 0), (-1, 0)])
def test_a_token_outside_the_cache_is_an_error_and_nothing_is_written(
    place: tuple[int, int],
) -> None:
    row, position = place
    angles = torch.ones(1, 2, 16)
    standing = Standing(
        torch.tensor([[row]]), torch.tensor([[0, position]]), cosines=angles, sines=angles
    )
    into = KeyValues(torch.zeros(2, 8, 1, 16), torch.zeros(2, 8, 1, 16))
    with pytest.raises(IndexError, match="outside the cache"):
        CompiledBackend().rotate_and_store(
            torch.ones(1, 2, 4, 16), standing, into, norms=None, eps=1e-6
        )
    assert not into.keys.any()
    assert not into.values.any()


@here
def test_a_weight_of_another_dtype_is_not_read() -> None:
    with pytest.raises(TypeError, match="inputs for a weight in"):
        CompiledBackend().linear(torch.ones(2, 32), torch.ones(4, 32, dtype=torch.bfloat16))


@here
def test_the_contract_holds_at_a_width_that_is_no_multiple_of_eight() -> None:
    model = adopt(random_llama(torch.float32), positions=256, backend=CompiledBackend())
    report = probe_contract(model, rows=3, width=5)
    assert str(report.contract).startswith("batch-invariant 256 compiled")
    assert not report.failed


def test_fused_weights_are_the_model_s_own() -> None:
    """Held once: transformers computes the same from parts of them."""
    llama = random_llama(torch.float32)
    tokens = torch.arange(24)[None]
    before = llama(tokens).logits
    static = adopt(llama, positions=64)
    assert torch.equal(llama(tokens).logits, before)
    layer, block = static.weights.layers[0], llama.model.layers[0]
    assert block.self_attn.q_proj.weight.data_ptr() == layer.query_key_value.data_ptr()
    assert block.mlp.gate_proj.weight.data_ptr() == layer.gate_up.data_ptr()
    together = layer.gate_up.untyped_storage().data_ptr()
    assert block.mlp.up_proj.weight.untyped_storage().data_ptr() == together


@here
def test_rows_that_are_not_there_are_not_read() -> None:
    keys, values = torch.zeros(2, 3, 8, 2, 16)
    cache = KeyValues(keys, values, torch.tensor([0]))
    backend, positions = CompiledBackend(), torch.zeros(2, 1, dtype=torch.int64)
    places = torch.arange(8)
    visible = backend.visible(positions, keys=places, window=None, shared=1, dtype=torch.float32)
    with pytest.raises(IndexError, match="1 rows for 2 windows"):
        backend.attend(torch.zeros(2, 1, 2, 16), cache, visible)
