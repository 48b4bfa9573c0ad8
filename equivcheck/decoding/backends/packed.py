"""The library's kernels for a CPU, with weights laid out for them beforehand.

torch hands a matrix product to one library in fp32 and to another in bf16, with weights as they
lie. oneDNN multiplies faster from a layout of its own, into which each weight is copied once, as
it is first used: a step of 8 slots takes 16 % less time for the bundled pair in fp32, and 40 % less
for SmolLM2-135M in bf16.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from equivcheck.decoding.backends.stock import StockBackend
from equivcheck.decoding.backends.widened import widened, widened_bytes

FEW = 8
"""Rows that layouts are made for: those of one row's verify step."""
SMALL = 2**17
"""Numbers of a weight below which fewer rows are multiplied faster as the weight lies, in fp32."""
DTYPES = (torch.float32, torch.bfloat16)
OPERATIONS = ("_linear_pointwise", "_reorder_linear_weight")


class PackedBackend(StockBackend):
    """oneDNN products from packed weights; norms and attention as in stock arithmetic."""

    name = "packed"

    def __init__(self) -> None:
        """Start without packed weights; each is dropped with the weight that it was made from."""
        self.packed: Any = WeakIdKeyDictionary()

    def linear(self, inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """One product for the whole batch."""
        rows = inputs.numel() // inputs.shape[-1]
        small = rows < FEW and weight.numel() < SMALL and inputs.dtype == torch.float32
        if small or inputs.device.type != "cpu" or not can_pack(inputs.dtype):
            return super().linear(inputs, weight, bias)
        if weight not in self.packed:
            self.packed[weight] = torch.ops.mkldnn._reorder_linear_weight(weight, FEW)
        product: Tensor = torch.ops.mkldnn._linear_pointwise(
            inputs, self.packed[weight], bias, "none", [], ""
        )
        return product

    def copied_bytes(self, weight: Tensor) -> int:
        """Bytes of packed copies, and of a head's in fp32."""
        wide = widened(weight) if widened_bytes(weight) else weight
        return super().copied_bytes(weight) + (wide.nbytes if wide in self.packed else 0)


@functools.cache
def can_pack(dtype: torch.dtype) -> bool:
    """Whether this build of torch multiplies from packed weights, and this CPU in the dtype."""
    built = torch.backends.mkldnn.is_available() and all(
        hasattr(torch.ops.mkldnn, name) for name in OPERATIONS
    )
    if not built or dtype not in DTYPES:
        return False
    # oneDNN refuses bf16 on a CPU that has neither AVX-512 nor AVX-NE-CONVERT.
    return dtype == torch.float32 or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
