"""Arithmetic on tiles of one fixed shape: bits that do not depend on the batch, on a CPU too.

A matrix library may choose another kernel for another number of rows. Here it only ever sees
`TILE` rows, so a row's result hangs on nothing but itself, as far as the probe finds that rows of
one tile do not mix. Costs speed where a whole batch would have gone through one product.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from equivcheck.decoding.backends.interface import KeyValues
from equivcheck.decoding.backends.packed import PackedBackend
from equivcheck.decoding.backends.stock import by_window

TILE = 8


class TiledBackend(PackedBackend):
    """The library's kernels, `TILE` rows or query slots at a time."""

    name = "tiled"
    batch_invariant = True

    def linear(self, inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """One product a tile."""
        product = super().linear
        return tile_by_tile(lambda tile: product(tile, weight, bias), inputs)

    def norm(self, hidden: Tensor, gain: Tensor, *, eps: float) -> Tensor:
        """RMS norm tile by tile."""
        norm = super().norm
        return tile_by_tile(lambda tile: norm(tile, gain, eps=eps), hidden)

    def gate(self, gate_up: Tensor, *, activation: str) -> Tensor:
        """Activation tile by tile: a vectorised body and a scalar tail round it differently."""
        gate = super().gate
        return tile_by_tile(lambda tile: gate(tile, activation=activation), gate_up)

    def visible(
        self,
        positions: Tensor,
        *,
        keys: Tensor,
        window: int | None,
        shared: int,
        dtype: torch.dtype,
    ) -> Tensor:
        """Additive causal mask, [rows, 1, width, cache positions], to be cut into tiles."""
        del shared
        return super().visible(positions, keys=keys, window=window, shared=1, dtype=dtype)

    def attend(self, query: Tensor, seen: KeyValues, visible: Tensor) -> Tensor:
        """Attention of one row's `TILE` slots at a time over the whole cache."""
        (rows, width), shared = query.shape[:2], query.shape[2] // seen.keys.shape[2]
        seen = by_window(seen)
        extra = -width % TILE
        query = F.pad(query, (0, 0, 0, 0, 0, extra))
        # A padded slot may see everything: were it to see nothing, its softmax would be 0/0.
        visible = F.pad(visible, (0, 0, 0, extra))
        mixed = [
            super(TiledBackend, self).attend(
                query[row : row + 1, start : start + TILE],
                KeyValues(seen.keys[row : row + 1], seen.values[row : row + 1]),
                visible[row : row + 1, :, start : start + TILE].repeat(1, 1, shared, 1),
            )
            for row in range(rows)
            for start in range(0, width + extra, TILE)
        ]
        return torch.cat(mixed, dim=1).view(rows, width + extra, -1)[:, :width]


def tile_by_tile(operation: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
    """Apply `operation` to `TILE` rows of [..., in] at a time; the last tile is padded."""
    flat = inputs.reshape(-1, inputs.shape[-1])
    padded = F.pad(flat, (0, 0, 0, -flat.shape[0] % TILE))
    outputs = torch.cat([operation(tile) for tile in padded.split(TILE)])
    return outputs[: flat.shape[0]].view(*inputs.shape[:-1], -1)
