"""A static key/value cache: one buffer a layer, rows at their own positions.

Nothing is ever erased. A rejected token's entries lie past the live positions, are hidden by the
causal mask, and are overwritten before they could be attended to: rollback is a pointer move.

Attention need not span all of it. A step sees the cache up to a reach, one of few lengths, behind
which nothing live can stand; what lies there would have weighed exactly 0.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Self

import torch
from torch import Tensor

from equivcheck.decoding.architecture import Architecture
from equivcheck.decoding.backends.interface import KeyValues, Standing


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
    hidden: Mapping[int, Tensor] = dataclasses.field(default_factory=dict)
    """Hidden states that are kept for a drafter, by place, each [rows, positions, hidden]. Place i
    is what enters layer i, before its norm; the number of layers is what leaves the last."""

    @classmethod
    def empty(
        cls,
        architecture: Architecture,
        *,
        rows: int,
        positions: int,
        dtype: torch.dtype,
        device: torch.device,
        keeps: Sequence[int] = (),
    ) -> Self:
        """A zeroed cache. `positions` has to leave room for a window's padding past the end.

        `keeps` are the places of which hidden states are kept.
        """
        shape = (rows, positions, architecture.kv_heads, architecture.head_dim)

        def buffers() -> tuple[Tensor, ...]:
            return tuple(
                torch.zeros(shape, dtype=dtype, device=device) for _ in range(architecture.layers)
            )

        wide = (rows, positions, architecture.hidden)
        hidden = {place: torch.zeros(wide, dtype=dtype, device=device) for place in keeps}
        return cls(keys=buffers(), values=buffers(), reach=positions, hidden=hidden)

    @property
    def buffers(self) -> tuple[Tensor, ...]:
        """All that is written, each [rows, positions, ...]."""
        return (*self.keys, *self.values, *self.hidden.values())

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
        return KeyValues(self.keys[layer], self.values[layer], self.rows)

    def attended(self, layer: int) -> KeyValues:
        """One layer's keys and values up to the reach."""
        near = slice(self.reach)
        return KeyValues(self.keys[layer][:, near], self.values[layer][:, near], self.rows)

    def keep(self, place: int, hidden: Tensor, standing: Standing) -> None:
        """Keep a window's hidden states [rows, width, hidden], where a drafter asks for them."""
        if place in self.hidden:
            self.hidden[place].index_put_((standing.rows, standing.positions), hidden)
