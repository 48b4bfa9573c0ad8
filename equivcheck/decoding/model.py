"""The static forward pass: a window of tokens per row, each row at its own position.

This is the one step function: plain decoding and verification both call it, at the same shape.
It knows nothing of drafts, sampling or requests.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from equivcheck.decoding.architecture import Architecture
from equivcheck.decoding.cache import StaticCache
from equivcheck.decoding.weights import LayerWeights, Weights

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "silu": F.silu,
    "gelu_pytorch_tanh": lambda gate: F.gelu(gate, approximate="tanh"),
    "gelu": F.gelu,
}


class StaticModel:
    """A Llama-like causal language model over a static cache."""

    def __init__(self, architecture: Architecture, weights: Weights, *, positions: int) -> None:
        """Precompute rotary tables for `positions` positions.

        Tables, not sines on the fly: vectorised and scalar tails of a sine differ in bits, so an
        angle computed in the loop would depend on the slot it sits in.
        """
        self.architecture = architecture
        self.weights = weights
        self.activation = ACTIVATIONS[architecture.activation]
        angles = torch.outer(
            torch.arange(positions, device=self.device).float(), weights.inverse_frequencies
        )
        angles = torch.cat([angles, angles], dim=-1)
        self.cosines = (angles.cos() * weights.rotary_scale).to(self.dtype)
        self.sines = (angles.sin() * weights.rotary_scale).to(self.dtype)
        self.key_positions = torch.arange(positions, device=self.device)

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of weights, activations and cache; logits are always fp32."""
        return self.weights.embedding.dtype

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return self.weights.embedding.device

    def new_cache(self, *, rows: int) -> StaticCache:
        """A cache for `rows` rows over all positions of this model."""
        return StaticCache.empty(
            self.architecture,
            rows=rows,
            positions=self.key_positions.shape[0],
            dtype=self.dtype,
            device=self.device,
        )

    def forward(self, tokens: Tensor, start: Tensor, cache: StaticCache) -> Tensor:
        """Write a window into the cache and return the hidden state behind each of its tokens.

        Args:
            tokens: [rows, window], int64.
            start: [rows], int64: position of each row's first token.
            cache: written at `start` to `start + window - 1`; all before must be there already.

        Returns:
            Final-norm hidden states, [rows, window, hidden], in the model's dtype.
        """
        positions = start[:, None] + self.key_positions[: tokens.shape[1]]
        hidden = F.embedding(tokens, self.weights.embedding)
        if self.architecture.embedding_scale != 1.0:
            hidden = hidden * torch.tensor(self.architecture.embedding_scale, dtype=self.dtype)
        rotary = (self.cosines[positions][:, :, None], self.sines[positions][:, :, None])
        masks = {window: self.mask(positions, window) for window in set(self.architecture.windows)}
        for index, layer in enumerate(self.weights.layers):
            mask = masks[self.architecture.windows[index]]
            normed = self.norm(hidden, layer.attention_norm)
            query, key, value = self.heads(normed, layer, rotary)
            cache.write(index, keys=key, values=value, positions=positions)
            mixed = self.attend(query, cache.keys[index], cache.values[index], mask)
            hidden = hidden + F.linear(mixed, layer.attention_out, layer.attention_out_bias)
            normed = self.norm(hidden, layer.mlp_norm)
            gate, up = F.linear(normed, layer.gate_up, layer.gate_up_bias).chunk(2, dim=-1)
            hidden = hidden + F.linear(self.activation(gate) * up, layer.down, layer.down_bias)
        return self.norm(hidden, self.weights.final_norm)

    def logits(self, hidden: Tensor) -> Tensor:
        """Project [..., hidden] onto the vocabulary, [..., vocab], fp32 from fp32 weights.

        In fp32 even for low-precision models: bf16 logits collide in exact ties every few tokens.
        """
        return F.linear(hidden.float(), self.weights.head)

    def norm(self, hidden: Tensor, weight: Tensor) -> Tensor:
        """RMS norm (Zhang and Sennrich 2019), the mean square in fp32."""
        wide = hidden.float()
        wide = wide * torch.rsqrt(
            wide.pow(2).mean(dim=-1, keepdim=True) + self.architecture.norm_eps
        )
        return wide.to(hidden.dtype) * weight

    def heads(
        self, hidden: Tensor, layer: LayerWeights, rotary: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, each [rows, window, heads, head_dim], rotated."""
        shape = self.architecture
        fused = F.linear(hidden, layer.query_key_value, layer.query_key_value_bias)
        split = fused.unflatten(-1, (-1, shape.head_dim)).split(
            (shape.heads, shape.kv_heads, shape.kv_heads), dim=2
        )
        query, key, value = split
        if layer.query_norm is not None and layer.key_norm is not None:
            query, key = self.norm(query, layer.query_norm), self.norm(key, layer.key_norm)
        return rotate(query, rotary), rotate(key, rotary), value

    def attend(self, query: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
        """Attention over the whole static cache, [rows, window, heads * head_dim].

        Query heads that share a key/value head are folded into the query dimension, so grouped
        attention needs no copy of the cache.
        """
        shape = self.architecture
        rows, window = query.shape[:2]
        folded = query.unflatten(2, (shape.kv_heads, shape.heads_per_kv)).permute(0, 2, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(
            folded.flatten(2, 3),
            keys.transpose(1, 2),
            values.transpose(1, 2),
            attn_mask=mask.repeat(1, 1, shape.heads_per_kv, 1),
        )
        unfolded: Tensor = mixed.unflatten(2, (shape.heads_per_kv, window))
        return unfolded.permute(0, 3, 1, 2, 4).reshape(rows, window, shape.heads * shape.head_dim)

    def mask(self, positions: Tensor, window: int | None) -> Tensor:
        """Additive causal mask, [rows, 1, window, positions]: hidden entries weigh exactly 0."""
        visible = self.key_positions <= positions[:, :, None]
        if window is not None:
            visible &= self.key_positions > positions[:, :, None] - window
        mask = torch.zeros(visible.shape, dtype=self.dtype, device=self.device)
        return mask.masked_fill_(~visible, float("-inf"))[:, None]


def rotate(heads: Tensor, rotary: tuple[Tensor, Tensor]) -> Tensor:
    """Rotary position embedding (Su et al. 2021), halves convention."""
    cosine, sine = rotary
    first, second = heads.chunk(2, dim=-1)
    return heads * cosine + torch.cat([-second, first], dim=-1) * sine
