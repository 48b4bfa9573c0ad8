"""Which arithmetic serves which contract on which device."""

from __future__ import annotations

import functools
from typing import Literal

import torch

from equivcheck.decoding.arithmetic.interface import Arithmetic
from equivcheck.decoding.arithmetic.packed import PackedArithmetic, can_pack
from equivcheck.decoding.arithmetic.stock import STOCK
from equivcheck.decoding.arithmetic.tiled import TiledArithmetic
from equivcheck.decoding.kernels.needs import missing_for_kernels

Contract = Literal["fixed-shape", "batch-invariant"]
Kernels = Literal["auto", "library"]
TILED = TiledArithmetic()
PACKED = PackedArithmetic()


def arithmetic_for(
    contract: Contract, *, device: torch.device, kernels: Kernels = "auto"
) -> Arithmetic:
    """The fastest arithmetic that is built for a contract; whether it holds is for the probe.

    With `kernels` "library" both contracts are left to torch alone.
    """
    if contract == "fixed-shape":
        return library_products(device, kernels=kernels)
    return TILED if kernels == "library" or missing_for_kernels(device) else own_kernels()


def library_products(device: torch.device, *, kernels: Kernels = "auto") -> Arithmetic:
    """The library's products, with what is fastest there for the operations between them."""
    if kernels == "library":
        return STOCK
    if device.type == "cpu":
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
