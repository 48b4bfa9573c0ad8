"""Make a small model as large as a shape without changing what it computes (Net2Net, 1511.05641).

The small weights sit in the corner of wider matrices, and what is added cannot reach the residual
stream: its output projections are zero. Everything else that is added is random, not zero, since
matrices of zeros run faster on real hardware. So cost and memory are the big shape's, while the
distribution of the next token, and with it the acceptance of drafts, stays the small pair's.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from equivcheck.pairs.shapes import Shape, widened_config

SEED = 0


@torch.no_grad()
def widen(model: PreTrainedModel, shape: Shape) -> PreTrainedModel:
    """A model of that shape, on the small model's device and in its dtype, that computes the same.

    Exact where ``hidden / small hidden`` is a power of 4, else up to the rounding of norm gains.

    Raises:
        PairError: the model cannot be widened to that shape.
    """
    small: Any = model
    config = AutoConfig.for_model(**widened_config(small.config.to_dict(), shape))
    with torch.random.fork_rng(), torch.device(small.device):
        torch.manual_seed(SEED)
        kind: Any = AutoModelForCausalLM
        big = kind.from_config(config, dtype=small.dtype)
    narrow = small.config.hidden_size
    gain = (narrow / shape.hidden) ** 0.5
    inner, outer = small.model, big.model
    settle(outer.embed_tokens.weight, inner.embed_tokens.weight, rest=0.0)
    settle(outer.norm.weight, inner.norm.weight * gain)
    if not config.tie_word_embeddings:
        settle(big.lm_head.weight, small.lm_head.weight)
    for index, block in enumerate(outer.layers):
        block.self_attn.o_proj.weight.zero_()
        block.mlp.down_proj.weight.zero_()
        if index < len(inner.layers):
            fill_block(block, inner.layers[index], gain=gain, config=small.config, shape=shape)
    ready: PreTrainedModel = big.requires_grad_(False).eval()
    return ready


def fill_block(block: Any, small: Any, *, gain: float, config: Any, shape: Shape) -> None:
    """Put a small block's weights into a big one, each query head beside its own key head."""
    head_dim = small.self_attn.head_dim
    shared = config.num_attention_heads // config.num_key_value_heads
    heads = [
        kv_head * (shape.heads // shape.kv_heads) + query
        for kv_head in range(config.num_key_value_heads)
        for query in range(shared)
    ]
    device = block.input_layernorm.weight.device
    channels = torch.cat([torch.arange(head_dim) + head * head_dim for head in heads]).to(device)
    width = config.hidden_size
    ours, theirs = block.self_attn, small.self_attn
    ours.q_proj.weight[channels, :width] = theirs.q_proj.weight
    settle(ours.k_proj.weight, theirs.k_proj.weight)
    settle(ours.v_proj.weight, theirs.v_proj.weight)
    ours.o_proj.weight[:width, channels] = theirs.o_proj.weight
    for name in ("gate_proj", "up_proj", "down_proj"):
        settle(getattr(block.mlp, name).weight, getattr(small.mlp, name).weight)
    for name in ("input_layernorm", "post_attention_layernorm"):
        settle(getattr(block, name).weight, getattr(small, name).weight * gain)


def settle(wide: Tensor, narrow: Tensor, *, rest: float | None = None) -> None:
    """Put a tensor into the first corner of a larger one; the rest stays, or becomes ``rest``."""
    if rest is not None:
        wide.fill_(rest)
    wide[tuple(slice(size) for size in narrow.shape)] = narrow
