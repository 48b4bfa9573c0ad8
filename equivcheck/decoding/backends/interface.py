"""What a static model asks of its arithmetic: the operations in which low bits are decided."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor


class Standing(NamedTuple):
    """Where the tokens of a window stand; made once a step for all layers."""

    rows: Tensor
    """Index of the cache row that each token stands in, int64, [rows, 1]."""
    positions: Tensor
    """int64, [rows, width]."""
    cosines: Tensor
    """Cosines of each position's rotary angles, [rows, width, head_dim]."""
    sines: Tensor
    """As cosines, the first half negated."""


class Visibility(NamedTuple):
    """Who sees what: positions of the queries [rows, width] and the window in tokens."""

    positions: Tensor
    window: int


class HeadNorms(NamedTuple):
    """Gains of the norms over single query and key heads, as Qwen3 has them, [head_dim] each."""

    query: Tensor
    key: Tensor


class KeyValues(NamedTuple):
    """One layer's keys and values, each [rows, positions, kv_heads, head_dim]."""

    keys: Tensor
    values: Tensor
    rows: Tensor | None = None
    """Row that each window stands in, int64, [windows]; None: the first in the first, and so on."""


class Backend(Hashable, Protocol):
    """How a static model multiplies, normalises, rotates, gates and attends."""

    name: str
    batch_invariant: bool
    """Whether a token's bits are meant not to depend on how many rows and slots there are."""

    ragged: bool
    """Whether a step leaves out slots that no row has use for; their number changes no bit then."""

    head_dtype: torch.dtype | None
    """Dtype of the head that `project` reads; None: as it is stored."""

    def linear(self, inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """``inputs @ weight.T + bias``: [..., in] with [out, in] to [..., out]."""
        ...

    def project(self, hidden: Tensor, head: Tensor) -> Tensor:
        """Logits in fp32, by products and sums in fp32: [..., in] with [vocab, in] to [..., vocab].

        In fp32 even for low-precision models: bf16 logits collide in exact ties every few tokens.
        """
        ...

    def copied_bytes(self, weight: Tensor) -> int:
        """Memory that copies of a weight take, in another layout or dtype; 0 without any."""
        ...

    def norm(self, hidden: Tensor, gain: Tensor, *, eps: float) -> Tensor:
        """RMS norm of the last dimension, the mean square in fp32."""
        ...

    def add_norm(
        self, hidden: Tensor, change: Tensor, gain: Tensor, *, eps: float
    ) -> tuple[Tensor, Tensor]:
        """``hidden + change`` and its RMS norm."""
        ...

    def rotate_and_store(
        self,
        heads: Tensor,
        standing: Standing,
        into: KeyValues,
        *,
        norms: HeadNorms | None,
        eps: float,
    ) -> Tensor:
        """Norm and rotate queries and keys; store keys and values where their tokens stand.

        Args:
            heads: Of queries, keys and values, in this order: [rows, width, heads + 2 * kv_heads,
                head_dim].
            standing: Of the window.
            into: The layer's whole buffers.
            norms: Of single heads, where the model has them.
            eps: Of the norms.

        Returns:
            The queries, [rows, width, heads, head_dim].
        """
        ...

    def gate(self, gate_up: Tensor, *, activation: str) -> Tensor:
        """``activation(gate) * up``: both halves of [..., 2 * inner] to [..., inner]."""
        ...

    def visible(
        self,
        positions: Tensor,
        *,
        keys: Tensor,
        window: int | None,
        shared: int,
        dtype: torch.dtype,
    ) -> Any:
        """What `attend` needs to know of who sees what; made once a step for all layers.

        Args:
            positions: Of the queries, int64, [rows, width].
            keys: Positions of the cache, ascending from 0, [cache positions].
            window: How many latest positions a query sees; None: all.
            shared: Query heads to a key/value head.
            dtype: Of the queries.
        """
        ...

    def attend(self, query: Tensor, seen: KeyValues, visible: Any) -> Tensor:
        """Causal attention over a static cache.

        Args:
            query: [rows, width, heads, head_dim].
            seen: The layer's cache up to the step's reach; perhaps not contiguous.
            visible: From `visible`.

        Returns:
            [rows, width, heads * head_dim].
        """
        ...
