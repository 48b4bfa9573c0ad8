"""Which arithmetic serves which contract on which device."""

from __future__ import annotations

import functools
from typing import Literal

import torch

from equivcheck.decoding.backends.compiled import AmxBackend, CompiledBackend
from equivcheck.decoding.backends.interface import Backend
from equivcheck.decoding.backends.packed import PackedBackend, can_pack
from equivcheck.decoding.backends.stock import STOCK
from equivcheck.decoding.backends.tiled import TiledBackend
from equivcheck.decoding.kernels.library import missing_for_compiled, missing_for_tiles
from equivcheck.decoding.kernels.needs import missing_for_kernels

Contract = Literal["fixed-shape", "batch-invariant"]
Kernels = Literal["auto", "packed", "library"]
TILED = TiledBackend()
PACKED = PackedBackend()
COMPILED = CompiledBackend()
AMX = AmxBackend()


def backend_for(
    contract: Contract, *, device: torch.device, dtype: torch.dtype, kernels: Kernels = "auto"
) -> Backend:
    """The fastest arithmetic that is built for a contract; whether it holds is for the probe.

    With `kernels` "library" both contracts are left to torch alone, with "packed" to torch and
    weights laid out for it.
    """
    fastest = fastest_products(device, dtype=dtype, kernels=kernels)
    if contract == "fixed-shape" or fastest.batch_invariant:
        return fastest
    return TILED if kernels != "auto" or missing_for_kernels(device) else own_kernels()


def fastest_products(
    device: torch.device, *, dtype: torch.dtype, kernels: Kernels = "auto"
) -> Backend:
    """What decodes fastest, whether or not it is built for a contract."""
    if kernels == "library":
        return STOCK
    if device.type == "cpu":
        if kernels == "auto" and missing_for_compiled(dtype) is None:
            return COMPILED if missing_for_tiles(dtype) else AMX
        return PACKED if can_pack(dtype) else STOCK
    return STOCK if missing_for_kernels(device) else fused_kernels()


@functools.cache
def fused_kernels() -> Backend:
    """The library's products between the project's Triton kernels. Imports Triton."""
    from equivcheck.decoding.backends.fused import FusedBackend

    return FusedBackend()


@functools.cache
def own_kernels() -> Backend:
    """The project's Triton kernels alone. Imports Triton."""
    from equivcheck.decoding.backends.invariant import InvariantBackend

    return InvariantBackend()
