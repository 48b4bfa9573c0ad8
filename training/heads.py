"""Heads as they are trained: an EAGLE-3 head and an MTP head, computed as vLLM computes them.

Tensors are named as `llama_eagle3` and `mimo_mtp` of vLLM load them. Entry s of a head is made of
the target's hidden states at position s and of token s + 1, and says what token s + 2 is.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

TAPPED = (1, 3, 4)
"""After how many layers of the target its hidden states are taken by the EAGLE-3 head.

Not after the last: SGLang can only tap what a further layer reads.
"""
DRAFT_VOCABULARY = 1024
DEPTHS = 2
EPS = 1e-6
THETA = 10_000.0


class Norm(nn.Module):
    """RMS norm with a gain."""

    def __init__(self, size: int) -> None:
        """Begin at a gain of one."""
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, hidden: Tensor) -> Tensor:
        """In fp32."""
        wide = hidden.float()
        return wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + EPS) * self.weight


class Mlp(nn.Module):
    """Gated by SiLU."""

    def __init__(self, size: int, inner: int) -> None:
        """Without biases."""
        super().__init__()
        self.gate_proj = nn.Linear(size, inner, bias=False)
        self.up_proj = nn.Linear(size, inner, bias=False)
        self.down_proj = nn.Linear(inner, size, bias=False)

    def forward(self, hidden: Tensor) -> Tensor:
        """Any shape that ends in the size."""
        out: Tensor = self.down_proj(F.silu(self.gate_proj(hidden)) * self.up_proj(hidden))
        return out


class Attention(nn.Module):
    """Grouped-query attention whose keys of later steps stand on the diagonal."""

    def __init__(self, config: Any, *, inputs: int) -> None:
        """`inputs`: numbers a token that queries, keys and values are made of."""
        super().__init__()
        self.heads, self.kv_heads = config.num_attention_heads, config.num_key_value_heads
        self.size = config.hidden_size // self.heads
        self.q_proj = nn.Linear(inputs, self.heads * self.size, bias=False)
        self.k_proj = nn.Linear(inputs, self.kv_heads * self.size, bias=False)
        self.v_proj = nn.Linear(inputs, self.kv_heads * self.size, bias=False)
        self.o_proj = nn.Linear(self.heads * self.size, config.hidden_size, bias=False)

    def forward(self, hidden: Tensor, kept: list[tuple[Tensor, Tensor]], *, step: int) -> Tensor:
        """Entries of one step of all chains, [rows, entries, inputs].

        The chain that starts at entry s sees the first step's entries up to s, and the one of each
        later step that is its own. `kept` has keys and values of the steps before, and gets these.
        """
        rows, entries, _ = hidden.shape
        shape = (rows, entries, -1, self.size)
        query, key, value = (
            project(hidden).view(shape).transpose(1, 2)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        query, key = rotated(query, step=step), rotated(key, step=step)
        groups = self.heads // self.kv_heads
        key, value = (each.repeat_interleave(groups, dim=1) for each in (key, value))
        kept.append((key, value))
        if len(kept) == 1:
            mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        else:
            (first_key, first_value), *own = kept
            mask = torch.ones(entries, entries, dtype=torch.bool).triu(1)
            scores = (query @ first_key.transpose(-1, -2)).masked_fill(mask, float("-inf"))
            later = [(query * own_key).sum(-1, keepdim=True) for own_key, _ in own]
            distribution = (torch.cat([scores, *later], dim=-1).float() / self.size**0.5).softmax(
                -1
            )
            distribution = distribution.to(value.dtype)
            mixed = distribution[..., :entries] @ first_value
            for place, (_, own_value) in enumerate(own):
                mixed = mixed + distribution[..., entries + place, None] * own_value
        out: Tensor = self.o_proj(mixed.transpose(1, 2).reshape(rows, entries, -1))
        return out


def rotated(heads: Tensor, *, step: int) -> Tensor:
    """Rotary positions: entry s of a chain's step stands at s + step."""
    half = heads.shape[-1] // 2
    inverse = THETA ** (-torch.arange(half).float() / half)
    angle = (torch.arange(heads.shape[-2]).float() + step)[:, None] * inverse
    first, second = heads.float().chunk(2, dim=-1)
    cos, sin = angle.cos(), angle.sin()
    return torch.cat([first * cos - second * sin, second * cos + first * sin], -1).to(heads.dtype)


class EagleLayer(nn.Module):
    """Attends by token and hidden state side by side, and adds to the hidden state alone."""

    def __init__(self, config: Any) -> None:
        """As wide as the target."""
        super().__init__()
        size = config.hidden_size
        self.input_layernorm, self.hidden_norm = Norm(size), Norm(size)
        self.self_attn = Attention(config, inputs=2 * size)
        self.post_attention_layernorm = Norm(size)
        self.mlp = Mlp(size, config.intermediate_size)


class EagleHead(nn.Module):
    """An EAGLE-3 head (Li et al. 2025)."""

    d2t: Tensor
    t2d: Tensor

    def __init__(self, config: Any, *, drafted: Tensor) -> None:
        """`drafted`: the target's ids that it can draft, ascending, int64."""
        super().__init__()
        size = config.hidden_size
        self.fc = nn.Linear(len(TAPPED) * size, size, bias=False)
        self.midlayer = EagleLayer(config)
        self.norm = Norm(size)
        self.lm_head = nn.Linear(size, len(drafted), bias=False)
        self.register_buffer("d2t", drafted - torch.arange(len(drafted)))
        chosen = torch.zeros(config.vocab_size, dtype=torch.bool)
        chosen[drafted] = True
        self.register_buffer("t2d", chosen)

    def forward(self, tapped: list[Tensor], embedded: Tensor, *, steps: int) -> list[Tensor]:
        """Chains of drafts from all entries at once, along the text that is there.

        Args:
            tapped: the target's hidden states at positions 0 to n - 1, [rows, n, hidden] each.
            embedded: the target's embeddings of tokens 1 to n - 1 + steps, [rows, ., hidden].
            steps: drafts a chain.

        Returns:
            Logits over the draft vocabulary, [rows, n, draft vocabulary], a step; step j of entry s
            drafts token s + 2 + j.
        """
        layer, entries = self.midlayer, tapped[0].shape[1]
        hidden: Tensor = self.fc(torch.cat(tapped, dim=-1))
        kept: list[tuple[Tensor, Tensor]] = []
        logits: list[Tensor] = []
        for step in range(steps):
            token = layer.input_layernorm(embedded[:, step : step + entries])
            beside = torch.cat([token, layer.hidden_norm(hidden)], dim=-1)
            hidden = hidden + layer.self_attn(beside, kept, step=step)
            hidden = hidden + layer.mlp(layer.post_attention_layernorm(hidden))
            logits.append(self.lm_head(self.norm(hidden)))
        return logits


class MtpLayer(nn.Module):
    """One depth: an ordinary layer behind a projection of hidden state and token."""

    def __init__(self, config: Any) -> None:
        """As wide as the target."""
        super().__init__()
        size = config.hidden_size
        self.token_layernorm, self.hidden_layernorm = Norm(size), Norm(size)
        self.input_proj = nn.Linear(2 * size, size, bias=False)
        self.input_layernorm, self.post_attention_layernorm = Norm(size), Norm(size)
        self.self_attn = Attention(config, inputs=size)
        self.mlp = Mlp(size, config.intermediate_size)
        self.final_layernorm = Norm(size)

    def forward(self, hidden: Tensor, embedded: Tensor) -> Tensor:
        """[rows, entries, hidden] each; the first position's token counts as nothing."""
        embedded = torch.cat([torch.zeros_like(embedded[:, :1]), embedded[:, 1:]], dim=1)
        normed = [self.hidden_layernorm(hidden), self.token_layernorm(embedded)]
        joined = self.input_proj(torch.cat(normed, dim=-1))
        joined = joined + self.self_attn(self.input_layernorm(joined), [], step=0)
        joined = joined + self.mlp(self.post_attention_layernorm(joined))
        out: Tensor = self.final_layernorm(joined)
        return out


class MtpHead(nn.Module):
    """Depths that each look one token further; the target's own output matrix reads them."""

    def __init__(self, config: Any) -> None:
        """`DEPTHS` of them."""
        super().__init__()
        self.mtp_layers = nn.ModuleList(MtpLayer(config) for _ in range(DEPTHS))

    def forward(self, last: Tensor, embedded: Tensor) -> list[Tensor]:
        """What the output matrix reads at each depth, [rows, n, hidden].

        Args:
            last: the target's hidden states before its final norm, [rows, n, hidden].
            embedded: its embeddings of tokens 1 to n - 1 + DEPTHS.
        """
        hidden, read = last, []
        for depth, layer in enumerate(self.mtp_layers):
            hidden = layer(hidden, embedded[:, depth : depth + last.shape[1]])
            read.append(hidden)
        return read
