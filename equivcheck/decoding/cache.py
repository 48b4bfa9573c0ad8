"""A static key/value cache: one buffer a layer, rows at their own positions.

Nothing is ever erased. A rejected token's entries lie past the live positions, are hidden by the
causal mask, and are overwritten before they could be attended to: rollback is a pointer move.

Attention need not span all of it. A step sees the cache up to a reach, one of few lengths, behind
which nothing live can stand; what lies there would have weighed exactly 0.
"""

from __future__ import annotations

import dataclasses
from typing import Self

import torch
from torch import Tensor

from equivcheck.decoding.architecture import Architecture
from equivcheck.decoding.arithmetic.interface import KeyValues


@dataclasses.dataclass(frozen=True, kw_only=True)
class StaticCache:
    """Keys and values, each a list over layers of [rows, positions, kv_heads, head_dim]."""

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]
    reach: int
    """Positions that are attended to; all can be written."""
    rows: Tensor | None = None
    """Row that each window stands in, int64, [windows]; several may stand in one. None: the first
    in the first, and so on."""

    @classmethod
    def empty(
        cls,
        architecture: Architecture,
        *,
        rows: int,
        positions: int,
        dtype: torch.dtype,
        device: torch.device,
    ) -> Self:
        """A zeroed cache. `positions` has to leave room for a window's padding past the end."""
        shape = (rows, positions, architecture.kv_heads, architecture.head_dim)

        def buffers() -> tuple[Tensor, ...]:
            return tuple(
                torch.zeros(shape, dtype=dtype, device=device) for _ in range(architecture.layers)
            )

        return cls(keys=buffers(), values=buffers(), reach=positions)

    @property
    def positions(self) -> int:
        """How many positions a row can hold."""
        return self.keys[0].shape[1]

    def upto(self, reach: int) -> StaticCache:
        """The same cache, attended to up to `reach` positions."""
        return dataclasses.replace(self, reach=reach)

    def under(self, rows: Tensor) -> StaticCache:
        """The same cache, for windows that stand in `rows` [windows]."""
        return dataclasses.replace(self, rows=rows)

    def layer(self, layer: int) -> KeyValues:
        """One layer's buffers."""
        return KeyValues(self.keys[layer], self.values[layer], self.rows)

    def attended(self, layer: int) -> KeyValues:
        """One layer's keys and values up to the reach."""
        near = slice(self.reach)
        return KeyValues(self.keys[layer][:, near], self.values[layer][:, near], self.rows)
