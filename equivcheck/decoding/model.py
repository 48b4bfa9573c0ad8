"""The static forward pass: a window of tokens per row, each row at its own position.

This is the one step function: plain decoding and verification both call it, at the same shape.
It knows nothing of drafts, sampling or requests.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from equivcheck.decoding.architecture import Architecture
from equivcheck.decoding.backends.interface import Backend, Standing
from equivcheck.decoding.backends.stock import STOCK
from equivcheck.decoding.cache import StaticCache
from equivcheck.decoding.weights import LayerWeights, Weights


class Passed(NamedTuple):
    """What leaves the layers, each [rows, window, hidden]."""

    hidden: Tensor
    """As it left the last one."""
    normed: Tensor
    """Behind the final norm."""


class StaticModel:
    """A Llama-like causal language model over a static cache."""

    def __init__(
        self,
        architecture: Architecture,
        weights: Weights,
        *,
        positions: int,
        backend: Backend = STOCK,
        reaches: tuple[int, ...] = (),
    ) -> None:
        """Precompute rotary tables for `positions` positions.

        `reaches` are shorter lengths at which attention may stop; without any it always spans the
        whole cache.

        Tables, not sines on the fly: vectorised and scalar tails of a sine differ in bits, so an
        angle computed in the loop would depend on the slot it sits in.
        """
        self.architecture = architecture
        self.weights = weights
        self.backend = backend
        self.reaches = (*(reach for reach in reaches if reach < positions), positions)
        angles = torch.outer(
            torch.arange(positions, device=self.device).float(), weights.inverse_frequencies
        )
        cosines, sines = angles.cos(), angles.sin()
        self.cosines = (torch.cat([cosines, cosines], -1) * weights.rotary_scale).to(self.dtype)
        self.sines = (torch.cat([-sines, sines], -1) * weights.rotary_scale).to(self.dtype)
        self.key_positions = torch.arange(positions, device=self.device)

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of weights, activations and cache; logits are always fp32."""
        return self.weights.embedding.dtype

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return self.weights.embedding.device

    def new_cache(self, *, rows: int, keeps: Sequence[int] = ()) -> StaticCache:
        """A cache for `rows` rows over all positions of this model.

        `keeps` are places of hidden states, as in `StaticCache.hidden`.
        """
        return StaticCache.empty(
            self.architecture,
            rows=rows,
            positions=self.key_positions.shape[0],
            dtype=self.dtype,
            device=self.device,
            keeps=keeps,
        )

    def reach(self, positions: int) -> int:
        """The least reach that holds `positions`; all there is where they are more."""
        return next((reach for reach in self.reaches if reach >= positions), self.reaches[-1])

    def forward(self, tokens: Tensor, start: Tensor, cache: StaticCache) -> Tensor:
        """Write a window into the cache and return the hidden state behind each of its tokens.

        Args:
            tokens: [rows, window], int64.
            start: [rows], int64: position of each row's first token.
            cache: written at `start` to `start + window - 1`; all before must be there already,
                or be written by this call, where several windows stand in one row. Its reach must
                hold them.

        Returns:
            Final-norm hidden states, [rows, window, hidden], in the model's dtype.
        """
        return self.through(self.embed(tokens), start, cache).normed

    def embed(self, tokens: Tensor) -> Tensor:
        """What enters the first layer, [..., hidden]."""
        hidden = F.embedding(tokens, self.weights.embedding)
        if self.architecture.embedding_scale != 1.0:
            hidden = hidden * torch.tensor(self.architecture.embedding_scale, dtype=self.dtype)
        return hidden

    def through(
        self, hidden: Tensor, start: Tensor, cache: StaticCache, *, normed: Tensor | None = None
    ) -> Passed:
        """Pass a window [rows, window, hidden] through the layers, as `forward` does.

        `normed` is what the first layer attends by; None: the norm of `hidden`.
        """
        positions = start[:, None] + self.key_positions[: hidden.shape[1]]
        standing = self.standing(positions)
        if cache.rows is not None:
            standing = standing._replace(rows=cache.rows[:, None])
        visible = {
            window: self.visible(positions, window, reach=cache.reach) for window in self.windows
        }
        layers = self.weights.layers
        if normed is None:
            normed = self.backend.norm(hidden, layers[0].attention_norm, eps=self.norm_eps)
        for index, layer in enumerate(layers):
            cache.keep(index, hidden, standing)
            query = self.backend.rotate_and_store(
                self.heads(normed, layer),
                standing,
                cache.layer(index),
                norms=layer.head_norms,
                eps=self.norm_eps,
            )
            seen = visible[self.architecture.windows[index]]
            mixed = self.backend.attend(query, cache.attended(index), seen)
            mixed = self.linear(mixed, layer.attention_out, layer.attention_out_bias)
            hidden, normed = self.add_norm(hidden, mixed, layer.mlp_norm)
            gate_up = self.linear(normed, layer.gate_up, layer.gate_up_bias)
            gated = self.backend.gate(gate_up, activation=self.architecture.activation)
            change = self.linear(gated, layer.down, layer.down_bias)
            hidden, normed = self.add_norm(hidden, change, self.norm_behind(index))
        cache.keep(len(layers), hidden, standing)
        return Passed(hidden, normed)

    def logits(self, hidden: Tensor) -> Tensor:
        """Project [..., hidden] onto the vocabulary, [..., vocab], fp32."""
        return self.backend.project(hidden, self.weights.head)

    def window_logits(
        self, window: Tensor, start: Tensor, cache: StaticCache, *, wanted: Tensor | None = None
    ) -> Tensor:
        """Logits behind each token of a window, as `forward` writes it, [rows, window, vocab].

        Of `wanted` slots alone, bool, [rows, window], where some are not: each is a window of its
        own then, and the others' logits are 0. The first in a row have to be wanted first.
        """
        if wanted is None or wanted.all():
            return self.logits(self.forward(window, start, cache))
        rows, slots = wanted.nonzero(as_tuple=True)
        apart = cache.under(rows)
        hidden = self.forward(window[rows, slots][:, None], start[rows] + slots, apart)
        found = self.logits(hidden[:, 0])
        everywhere = found.new_zeros((*wanted.shape, found.shape[-1]))
        return everywhere.index_put_((rows, slots), found)

    def linear(self, inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """``inputs @ weight.T + bias``, [..., in] to [..., out]."""
        return self.backend.linear(inputs, weight, bias)

    def add_norm(self, hidden: Tensor, change: Tensor, gain: Tensor) -> tuple[Tensor, Tensor]:
        """``hidden + change``, and its RMS norm."""
        return self.backend.add_norm(hidden, change, gain, eps=self.norm_eps)

    @property
    def norm_eps(self) -> float:
        """What all norms add to the mean square."""
        return self.architecture.norm_eps

    def norm_behind(self, layer: int) -> Tensor:
        """Gain of the norm that follows a layer: the next one's first, or the final one."""
        layers = self.weights.layers
        last = layer + 1 == len(layers)
        return self.weights.final_norm if last else layers[layer + 1].attention_norm

    @property
    def windows(self) -> set[int | None]:
        """The attention windows that layers have."""
        return set(self.architecture.windows)

    def visible(self, positions: Tensor, window: int | None, *, reach: int) -> Any:
        """Who sees what of the first `reach` positions, as the arithmetic's `attend` wants it."""
        return self.backend.visible(
            positions,
            keys=self.key_positions[:reach],
            window=window,
            shared=self.architecture.heads // self.architecture.kv_heads,
            dtype=self.dtype,
        )

    def standing(self, positions: Tensor) -> Standing:
        """Where a window at `positions` [rows, width] stands, and its rotary angles."""
        rows = torch.arange(positions.shape[0], device=positions.device)[:, None]
        return Standing(rows, positions, self.cosines[positions], self.sines[positions])

    def heads(self, hidden: Tensor, layer: LayerWeights) -> Tensor:
        """Heads of queries, keys and values, [rows, width, heads + 2 * kv_heads, head_dim]."""
        fused = self.linear(hidden, layer.query_key_value, layer.query_key_value_bias)
        heads: Tensor = fused.unflatten(-1, (-1, self.architecture.head_dim))
        return heads
