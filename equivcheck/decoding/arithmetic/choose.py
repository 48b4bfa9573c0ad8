"""Which arithmetic serves which contract on which device."""

from __future__ import annotations

import functools
from typing import Literal

import torch

from equivcheck.decoding.arithmetic.compiled import CompiledArithmetic
from equivcheck.decoding.arithmetic.interface import Arithmetic
from equivcheck.decoding.arithmetic.packed import PackedArithmetic, can_pack
from equivcheck.decoding.arithmetic.stock import STOCK
from equivcheck.decoding.arithmetic.tiled import TiledArithmetic
from equivcheck.decoding.kernels.library import missing_for_compiled
from equivcheck.decoding.kernels.needs import missing_for_kernels

Contract = Literal["fixed-shape", "batch-invariant"]
Kernels = Literal["auto", "packed", "library"]
TILED = TiledArithmetic()
PACKED = PackedArithmetic()
COMPILED = CompiledArithmetic()


def arithmetic_for(
    contract: Contract, *, device: torch.device, dtype: torch.dtype, kernels: Kernels = "auto"
) -> Arithmetic:
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
) -> Arithmetic:
    """What decodes fastest, whether or not it is built for a contract."""
    if kernels == "library":
        return STOCK
    if device.type == "cpu":
        if kernels == "auto" and missing_for_compiled(dtype) is None:
            return COMPILED
        return PACKED if can_pack() else STOCK
    return STOCK if missing_for_kernels(device) else fused_kernels()


@functools.cache
def fused_kernels() -> Arithmetic:
    """The library's products between the project's Triton kernels. Imports Triton."""
    from equivcheck.decoding.arithmetic.fused import FusedArithmetic

    return FusedArithmetic()


@functools.cache
def own_kernels() -> Arithmetic:
    """The project's Triton kernels alone. Imports Triton."""
    from equivcheck.decoding.arithmetic.invariant import InvariantArithmetic

    return InvariantArithmetic()
