"""Arithmetic by the project's own Triton kernels alone: bits that do not depend on the batch.

Importing it imports Triton, which torch brings along on CUDA.
"""

from __future__ import annotations

from torch import Tensor

from equivcheck.decoding.backends.fused import FusedBackend
from equivcheck.decoding.backends.products import product, shared_memory, tiles_for


class InvariantBackend(FusedBackend):
    """Ascending sums, and no split of one that depends on the batch."""

    name = "triton"
    batch_invariant = True
    ahead = False
    """No device has shown yet that bits stay what they are with any number of rows."""

    def linear(self, inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """``inputs @ weight.T + bias`` with one fp32 accumulator an element."""
        columns, inner = weight.shape
        tiles = tiles_for(
            rows=inputs.numel() // inner,
            columns=columns,
            inner=inner,
            itemsize=weight.element_size(),
            memory=shared_memory(weight.device),
        )
        return product(inputs, weight, bias, tiles=tiles, ahead=self.ahead)
