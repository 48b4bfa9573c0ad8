"""Compile the project's Triton kernels for GPUs that are not here, and say what came out.

    python -m benchmarks.kernels [--out FILE]

Every kernel is launched by the code that launches it on a GPU, at the shapes of large models, and
compiled to the end, down to machine code; only the launch itself is left out. That shows, on any
machine, that a kernel compiles, fits the GPU's shared memory, keeps its numbers in registers, and
multiplies on tensor cores. It says nothing of speed.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import msgspec
import torch
import triton
from torch import Tensor
from triton.backends.compiler import GPUTarget
from triton.runtime.driver import driver
from triton.runtime.jit import JITFunction

from benchmarks.machine_code import Compiled, described
from equivcheck.decoding.backends.fused import FusedBackend
from equivcheck.decoding.backends.interface import HeadNorms, KeyValues, Standing
from equivcheck.decoding.backends.invariant import InvariantBackend
from equivcheck.decoding.backends.products import product, tiles_for
from equivcheck.decoding.backends.stock import ACTIVATIONS
from equivcheck.decoding.kernels import starting
from equivcheck.decoding.kernels.noise import uniform_noise


class Gpu(NamedTuple):
    """A generation of GPUs."""

    capability: int
    """Compute capability times ten."""
    shared_memory: int
    """Bytes that one program may have, by the CUDA programming guide's table of capabilities."""
    examples: str


GPUS = (
    Gpu(80, 163 * 1024, "A100"),
    Gpu(86, 99 * 1024, "A10, RTX 3090"),
    Gpu(89, 99 * 1024, "L4, L40S, RTX 4090"),
    Gpu(90, 227 * 1024, "H100, H200"),
    Gpu(100, 227 * 1024, "B200"),
    Gpu(120, 99 * 1024, "RTX 5090"),
)


class Shape(NamedTuple):
    """What of a model decides how its kernels are compiled."""

    hidden: int
    inner: int
    heads: int
    kv_heads: int
    head: int
    reach: int
    normed: bool = False
    activation: str = "silu"


SHAPES = (
    Shape(hidden=4096, inner=14_336, heads=32, kv_heads=8, head=128, reach=1088),
    Shape(hidden=576, inner=1536, heads=9, kv_heads=3, head=64, reach=128),
    Shape(
        *(3072, 24_576, 16, 16, 256, 512),
        activation="gelu_pytorch_tanh",
    ),
    Shape(2560, 9728, 32, 8, 80, 1088, normed=True, activation="gelu"),
)
"""Llama 3 8B, SmolLM2-135M, Gemma 7B, and one with heads of an odd size that are normed."""


class NoDriver:
    """Stands in for a GPU of one kind: kernels are compiled for it, and never run."""

    def __init__(self, gpu: Gpu) -> None:
        """Pretend to be `gpu`."""
        self.target = GPUTarget("cuda", gpu.capability, 32)

    def get_current_target(self) -> GPUTarget:
        """What to compile for."""
        return self.target

    def get_current_device(self) -> int:
        """Kernels are kept by device, so each kind is a device of its own."""
        capability: int = self.target.arch
        return capability

    def get_current_stream(self, device: int) -> int:
        """No stream."""
        del device
        return 0


@contextlib.contextmanager
def compiling_for(gpu: Gpu) -> Iterator[list[tuple[str, Any]]]:
    """Compile instead of launching; yields the list of names and compiled kernels as it grows."""
    compiled: list[tuple[str, Any]] = []
    launch = JITFunction.run

    def compile_only(kernel: Any, *args: Any, grid: Any, warmup: bool, **options: Any) -> None:
        del warmup
        found = launch(kernel, *args, grid=grid, warmup=True, **options)
        compiled.append((kernel.__name__, found))

    driver.set_active(NoDriver(gpu))
    ahead = starting.can_launch() and gpu.capability // 10 == starting.HOPPER
    with (
        patch.object(JITFunction, "run", compile_only),
        patch.object(starting, "starts_ahead", lambda device: ahead),
    ):
        yield compiled


class Window(NamedTuple):
    """Rows and slots of a step. What is 1 is compiled into a kernel of its own."""

    rows: int
    width: int


WINDOWS = (Window(2, 8), Window(1, 1))
MANY = 128
"""Rows of a product that is cut up otherwise than one of few."""


class Case(NamedTuple):
    """What a GPU is given to compile."""

    shape: Shape
    dtype: torch.dtype
    window: Window


def launch_all(case: Case, *, memory: int) -> None:
    """Call all that launches a kernel, on tensors whose content does not matter.

    Args:
        case: Sizes and dtype.
        memory: Bytes that the threads of a program may share.
    """
    shape, dtype, (rows, width) = case

    def empty(*sizes: int) -> Tensor:
        return torch.empty(sizes, dtype=dtype)

    def integers(*sizes: int) -> Tensor:
        return torch.zeros(sizes, dtype=torch.int64)

    backend, invariant = FusedBackend(), InvariantBackend()
    positions, hidden = integers(rows, width), empty(rows, width, shape.hidden)
    gain = empty(shape.hidden)
    backend.norm(hidden, gain, eps=1e-6)
    backend.add_norm(hidden, hidden, gain, eps=1e-6)
    backend.gate(empty(rows, width, 2 * shape.inner), activation=shape.activation)
    angles = empty(rows, width, shape.head)
    cache = KeyValues(*(empty(rows, shape.reach + 64, shape.kv_heads, shape.head) for _ in "kv"))
    query = backend.rotate_and_store(
        empty(rows, width, shape.heads + 2 * shape.kv_heads, shape.head),
        Standing(integers(rows, 1), positions, angles, angles),
        cache,
        norms=HeadNorms(empty(shape.head), empty(shape.head)) if shape.normed else None,
        eps=1e-6,
    )
    seen = KeyValues(cache.keys[:, : shape.reach], cache.values[:, : shape.reach])
    visible = backend.visible(
        positions, keys=torch.arange(shape.reach), window=None, shared=1, dtype=dtype
    )
    backend.attend(query, seen, visible)
    backend.attend(query, seen._replace(rows=integers(rows)), visible)
    heads = shape.head * (shape.heads + 2 * shape.kv_heads)
    for outputs, bias in ((2 * shape.inner, None), (shape.hidden, gain), (heads, None)):
        weight = empty(outputs, shape.hidden)
        backend.linear(hidden, weight, bias)
        invariant.linear(hidden, weight, bias)
        tiles = tiles_for(
            rows=MANY,
            columns=outputs,
            inner=shape.hidden,
            itemsize=dtype.itemsize,
            memory=memory,
        )
        product(empty(MANY, shape.hidden), weight, bias, tiles=tiles)
    for count in (32_000, 1):
        uniform_noise(integers(rows, 3), positions, positions, width=count, largest=0.5)


def cases_for(gpu: Gpu) -> Iterator[Case]:
    """The common case for every GPU, and for two of them others that differ from it in one way.

    What differs does not depend on the generation, but for shared memory: one of the two has much
    of it, the other little.
    """
    yield Case(SHAPES[0], torch.bfloat16, WINDOWS[0])
    if gpu.capability in (89, 90):
        yield Case(SHAPES[0], torch.float16, WINDOWS[0])
        yield Case(SHAPES[0], torch.bfloat16, WINDOWS[1])
        for shape in SHAPES:
            yield Case(shape, torch.float32, WINDOWS[0])
        for shape in SHAPES[1:]:
            yield Case(shape, torch.bfloat16, WINDOWS[0])


def compile_all() -> Iterator[Compiled]:
    """Every kernel for every GPU."""
    for gpu in GPUS:
        for case in cases_for(gpu):
            with compiling_for(gpu) as compiled:
                launch_all(case, memory=gpu.shared_memory)
            for kernel, found in compiled:
                yield described(
                    found,
                    kernel,
                    capability=gpu.capability,
                    shared_limit=gpu.shared_memory,
                    dtype=case.dtype,
                    head=case.shape.head,
                )


def table(compiled: list[Compiled]) -> Iterator[str]:
    """Markdown lines: of each kernel, GPU and dtype the most that any shape takes."""
    yield "| kernel | GPU | dtype | registers | spilled | shared memory | of | tensor core | load |"
    yield "|---|---|---|---:|---:|---:|---:|---:|---:|"
    groups: dict[tuple[str, int, str], list[Compiled]] = {}
    for each in compiled:
        groups.setdefault((each.kernel, each.capability, each.dtype), []).append(each)
    names = {gpu.capability: gpu.examples for gpu in GPUS}
    for (kernel, capability, dtype), found in sorted(groups.items()):
        yield (
            f"| {kernel} | {names[capability]} | {dtype} | {max(e.registers for e in found)} "
            f"| {max(e.spilled for e in found)} | {max(e.shared for e in found):,} "
            f"| {found[0].shared_limit:,} | {min(e.tensor_core for e in found)} "
            f"| {min(e.widest_load for e in found)} |"
        )


def main() -> None:
    """Compile, print the table, and keep the whole."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kernels")
    parser.add_argument("--out", type=Path, help="JSONL file for every kernel and shape")
    arguments = parser.parse_args()
    assert set(ACTIVATIONS) == {shape.activation for shape in SHAPES}
    compiled = list(compile_all())
    print(f"triton {triton.__version__}")
    print("\n".join(table(compiled)))
    if arguments.out is not None:
        lines = b"".join(msgspec.json.encode(each) + b"\n" for each in compiled)
        arguments.out.write_bytes(lines)


if __name__ == "__main__":
    main()
