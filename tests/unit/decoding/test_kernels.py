"""The project's Triton kernels: they compile for GPUs that are not here, and decode as torch does.

Triton's interpreter runs them on the CPU, with every number of theirs; a compiler sees them in a
process of its own, since what is interpreted is not compiled.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from msgspec import json

pytest.importorskip("triton", reason="needs triton")

from benchmarks.kernels import GPUS
from benchmarks.launches import SAMPLINGS, chunk_launches, decoder_of, step_launches
from benchmarks.machine_code import Compiled
from equivcheck.core.cases import Sampling
from equivcheck.core.generation import Generation, Request
from equivcheck.decoding.adoption import adopt
from equivcheck.decoding.backends.fused import FusedBackend
from equivcheck.decoding.backends.interface import Backend
from equivcheck.decoding.backends.invariant import InvariantBackend
from equivcheck.decoding.backends.products import FEW
from equivcheck.decoding.backends.stock import STOCK
from equivcheck.decoding.decoder import Decoder
from equivcheck.decoding.drafters import ModelDrafter
from equivcheck.decoding.gamma import GammaPolicy
from equivcheck.decoding.kernels.needs import missing_for_kernels
from equivcheck.decoding.kernels.noise import uniform_noise
from equivcheck.decoding.kernels.starting import starting, starts_ahead
from equivcheck.decoding.streams import LARGEST_UNIFORM, Purpose, Streams, uniforms
from equivcheck.decoding.verification import MatchRule, RejectionRule, VerificationRule
from equivcheck.pairs.shapes import SHAPES
from tests.unit.decoding.models import EOS, decode, detokenise, random_llama
from tests.unit.source import ROOT

interpreted = pytest.mark.skipif(
    torch.cuda.is_available(), reason="tests/gpu runs the compiled kernels"
)
MULTIPLYING = ("linear_kernel", "attention_kernel")
PAIR = ("0.4b", "0.15b")
POSITIONS = 300
"""More than one split of attention."""


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> list[Compiled]:
    folder: Path = tmp_path_factory.mktemp("kernels")
    environment = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
    command = (sys.executable, "-m", "benchmarks.kernels", "--out", str(folder / "kernels.jsonl"))
    subprocess.run(command, check=True, cwd=ROOT, env=environment, capture_output=True)
    lines = (folder / "kernels.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.decode(line, type=Compiled) for line in lines]


def test_every_kernel_compiles_for_every_gpu_and_fits(compiled: list[Compiled]) -> None:
    kernels = {each.kernel for each in compiled}
    assert len(kernels) == 7
    assert {(each.kernel, each.capability) for each in compiled} == {
        (kernel, gpu.capability) for kernel in kernels for gpu in GPUS
    }
    for each in compiled:
        assert each.shared <= each.shared_limit, each
        assert each.spilled == 0, each


def test_products_and_attention_use_tensor_cores_and_wide_loads(compiled: list[Compiled]) -> None:
    multiplying = [each for each in compiled if each.kernel in MULTIPLYING]
    assert len(multiplying) > len(GPUS)
    for each in multiplying:
        # Full fp32 has no tensor cores.
        assert bool(each.tensor_core) is (each.dtype != "float32"), each
        assert each.widest_load == 16, each


def test_kernels_that_start_ahead_wait_before_they_read_or_write(compiled: list[Compiled]) -> None:
    ahead = [each for each in compiled if each.ahead]
    # Noise is drawn between torch's kernels, and in fp32 products are the library's.
    assert {(each.kernel, each.capability, each.dtype) for each in ahead} == {
        (each.kernel, 90, dtype)
        for each in compiled
        for dtype in ("bfloat16", "float16")
        if each.kernel != "uniform_kernel"
    }
    for each in compiled:
        assert each.takes_turn is each.ahead, each
        # Weights are there before the products of the step are.
        assert bool(each.fetches) is (each.ahead and each.kernel == "linear_kernel"), each


@pytest.mark.parametrize(
    ("capability", "cuda", "ahead"),
    [
        ((8, 9), "13.0", False),
        ((9, 0), "13.0", True),
        ((12, 0), "13.0", False),
        ((9, 4), None, False),
    ],
    ids=["L4", "H100", "RTX 5090", "MI300"],
)
def test_only_a_gpu_that_can_is_asked_to_start_ahead(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], cuda: str | None, ahead: bool
) -> None:
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    starts_ahead.cache_clear()
    try:
        assert starts_ahead(torch.device("cuda")) is ahead
        found = starting(torch.device("cuda"), ahead=True)
        assert found == ({"AHEAD": True, "launch_pdl": True} if ahead else {"AHEAD": False})
        assert starting(torch.device("cuda"), ahead=False) == {"AHEAD": False}
        assert starting(torch.device("cpu"), ahead=True) == {"AHEAD": False}
    finally:
        starts_ahead.cache_clear()


def test_kernels_between_the_librarys_products_are_not_started_ahead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("equivcheck.decoding.kernels.starting.starts_ahead", lambda device: True)
    few, many = (torch.empty(rows, 8, dtype=torch.bfloat16) for rows in (FEW, FEW + 1))
    usual = {"AHEAD": False}
    assert FusedBackend().start(few, rows=FEW) == {"AHEAD": True, "launch_pdl": True}
    assert FusedBackend().start(many, rows=FEW + 1) == usual
    assert FusedBackend().start(few.float(), rows=FEW) == usual
    assert InvariantBackend().start(few, rows=FEW) == usual


def test_a_triton_without_the_option_starts_nothing_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("equivcheck.decoding.kernels.starting.OPTION", "unheard_of")
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    starts_ahead.cache_clear()
    try:
        assert not starts_ahead(torch.device("cuda"))
    finally:
        starts_ahead.cache_clear()


@interpreted
@pytest.mark.parametrize("width", [1, 4, 1030, 2048])
def test_noise_has_the_bits_of_tensor_arithmetic(width: int) -> None:
    streams = Streams(rows=3, device=torch.device("cpu"))
    streams.keys.copy_(torch.tensor([[0, 0, 0], [7, 2**32 - 1, 2**31], [2**32 - 1, 5, 2**32 - 2]]))
    positions = torch.tensor([[0, 1], [2**20, 3], [77, 78]])
    purposes = torch.tensor([[0, 1], [2, 3], [4, 0]])
    drawn = uniform_noise(streams.keys, positions, purposes, width=width, largest=LARGEST_UNIFORM)
    assert torch.equal(
        drawn, uniforms(streams.keys, positions=positions, purposes=purposes, width=width)
    )


@interpreted
def test_streams_draw_from_the_kernel_where_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    launched = []

    def counted(*args: Any, **options: Any) -> torch.Tensor:
        launched.append(args)
        return uniform_noise(*args, **options)

    monkeypatch.setattr("equivcheck.decoding.kernels.noise.uniform_noise", counted)
    streams = Streams(rows=2, device=torch.device("cpu"))
    streams.keys.copy_(torch.tensor([[1, 2, 3], [4, 5, 6]]))
    positions, purpose = torch.tensor([[3], [4]]), torch.tensor([[Purpose.BONUS], [Purpose.DRAFT]])
    assert not streams.kernel
    expected = [streams.gumbel(positions, each, width=9) for each in (Purpose.SHARED, purpose)]
    assert not launched
    streams.kernel = True
    drawn = [streams.gumbel(positions, each, width=9) for each in (Purpose.SHARED, purpose)]
    assert len(launched) == 2
    assert all(torch.equal(one, other) for one, other in zip(drawn, expected, strict=True))


@interpreted
@pytest.mark.parametrize("kind", [FusedBackend, InvariantBackend])
def test_decoding_with_the_kernels_is_identical(kind: Callable[[], Backend]) -> None:
    """Speculative and plain, bit for bit; and adoption finds the logits to be transformers' own."""
    llama = random_llama(torch.float32)
    model = adopt(llama, positions=POSITIONS, backend=kind(), reaches=(128,))
    # Prompts of one token need no reading, which takes the interpreter a while.
    requests = [
        Request(
            key=f"test/{row}", prompt_ids=(50 + row,), max_new_tokens=6, sampling=probs, seed=row
        )
        for row, probs in enumerate([Sampling(), Sampling(temperature=0.8)])
    ]
    draft = adopt(random_llama(torch.float32, noise=0.08), positions=POSITIONS, backend=kind())

    def run(*, gamma: int) -> list[Generation]:
        drafter = ModelDrafter(draft, rows=2) if gamma else None
        decoder = Decoder(
            model,
            rows=2,
            width=8,
            rule=MatchRule(),
            drafter=drafter,
            gamma=GammaPolicy(gamma),
            eos_token_ids=(EOS,),
            detokenise=detokenise,
        )
        decoder.rows.streams.kernel = True
        answers = decode(decoder, requests)
        return [answers[request.key] for request in requests]

    plain, drafted = run(gamma=0), run(gamma=3)
    for one, other in zip(plain, drafted, strict=True):
        assert one.token_ids == other.token_ids
        assert one.logit_digests == other.logit_digests
    assert any(step.accepted for answer in drafted for step in answer.steps)


@pytest.mark.parametrize("rule", [MatchRule(), RejectionRule()], ids=["coupled", "rejection"])
@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_a_step_stays_on_its_device(sampling: str, rule: VerificationRule) -> None:
    """Run where nothing has a value: reading one back, or mixing devices, would fail."""
    decoder = decoder_of(PAIR, backend=FusedBackend(), rule=rule)
    fused = step_launches(decoder, SAMPLINGS[sampling], reach=128)
    kernels = {name: count for name, count in fused.names.items() if name.endswith("_kernel")}
    assert len(kernels) == 5 + bool(fused.names["uniform_kernel"])
    assert fused.total < 1250


def test_a_layer_is_nine_kernels_and_ten_over_long_contexts() -> None:
    def of_a_layer(backend: Backend, *, reach: int) -> float:
        totals = []
        for shape in PAIR:
            decoder = decoder_of((shape, shape), backend=backend, rule=MatchRule())
            totals.append(step_launches(decoder, SAMPLINGS["greedy"], reach=reach, gamma=0).total)
        layers = [SHAPES[shape].layers for shape in PAIR]
        return (totals[0] - totals[1]) / (layers[0] - layers[1])

    assert of_a_layer(FusedBackend(), reach=128) == 9
    assert of_a_layer(FusedBackend(), reach=1088) == 10
    assert of_a_layer(STOCK, reach=128) == 33


def test_reading_stays_on_its_device_and_takes_the_kernels_of_a_step() -> None:
    decoder = decoder_of(PAIR, backend=FusedBackend(), rule=MatchRule(), rows=3)
    read = chunk_launches(decoder)
    step = step_launches(decoder, SAMPLINGS["greedy"], reach=128, gamma=0)
    for kernel in ("add_norm_kernel", "rotate_and_store_kernel", "attention_kernel", "gate_kernel"):
        assert read.names[kernel] == step.names[kernel], kernel
    assert not read.names["linear_kernel"]
    assert read.total < step.total


def test_why_kernels_cannot_run_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = missing_for_kernels.__wrapped__
    gpu = torch.device("cuda")
    assert asked(torch.device("cpu")) == "the device is no CUDA device"
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    assert asked(gpu) == "the GPU has a compute capability below 8.0"
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.delenv("CC", raising=False)
    assert asked(gpu) == "there is no C compiler (gcc or clang)"
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}" if name == "gcc" else None)
    monkeypatch.setenv("CC", "tcc")
    assert asked(gpu) == "there is no C compiler (tcc)"
    monkeypatch.setattr("shutil.which", lambda name: "/usr/bin/cc")
    monkeypatch.setattr("sysconfig.get_paths", lambda scheme: {"include": "/nowhere"})
    assert asked(gpu) == "Python.h is not installed (python3-dev)"
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert asked(gpu) == "the package triton is not installed"
