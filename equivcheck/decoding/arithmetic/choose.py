"""Which arithmetic serves which contract on which device."""

from __future__ import annotations

import functools
from typing import Literal

import torch

from equivcheck.decoding.arithmetic.packed import PackedArithmetic, can_pack
from equivcheck.decoding.arithmetic.stock import STOCK, Arithmetic
from equivcheck.decoding.arithmetic.tiled import TiledArithmetic

Contract = Literal["fixed-shape", "batch-invariant"]
TILED = TiledArithmetic()
PACKED = PackedArithmetic()


def arithmetic_for(contract: Contract, device: torch.device) -> Arithmetic:
    """The fastest arithmetic that is built for a contract; whether it holds is for the probe."""
    if contract == "fixed-shape":
        return library_kernels(device)
    return own_kernels() if device.type == "cuda" else TILED


def library_kernels(device: torch.device) -> Arithmetic:
    """The library's kernels, from the layout of weights that is fastest there."""
    return PACKED if device.type == "cpu" and can_pack() else STOCK


@functools.cache
def own_kernels() -> Arithmetic:
    """The project's Triton kernels. Imports Triton."""
    from equivcheck.decoding.arithmetic.invariant import InvariantArithmetic

    return InvariantArithmetic()
