"""A Llama-like model's weights, fused for the static forward pass. Moves numbers, computes none."""

from __future__ import annotations

import ctypes
import dataclasses
import os
from typing import Any

import torch
from torch import Tensor

from equivcheck.decoding.architecture import Architecture
from equivcheck.decoding.backends.interface import HeadNorms


@dataclasses.dataclass(frozen=True, kw_only=True)
class LayerWeights:
    """One block. Linear weights are [out, in]; query, key and value share one matrix."""

    attention_norm: Tensor
    query_key_value: Tensor
    query_key_value_bias: Tensor | None
    head_norms: HeadNorms | None
    attention_out: Tensor
    attention_out_bias: Tensor | None
    mlp_norm: Tensor
    gate_up: Tensor
    gate_up_bias: Tensor | None
    down: Tensor
    down_bias: Tensor | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Weights:
    """The whole model: `embedding` and `head`, perhaps one tensor, [vocab, hidden]."""

    embedding: Tensor
    layers: tuple[LayerWeights, ...]
    final_norm: Tensor
    head: Tensor
    inverse_frequencies: Tensor
    """Rotary inverse frequencies, fp32, [head_dim / 2]."""
    rotary_scale: float


def fuse(model: Any, architecture: Architecture) -> Weights:
    """Collect the weights of a transformers causal LM, and hold them once.

    The model computes what it did, from the same memory: its separate weights become parts of the
    fused ones.
    """
    body = model.model
    rotary = body.rotary_emb
    layers = tuple(layer_weights(block, architecture) for block in body.layers)
    return_freed_memory()
    return Weights(
        embedding=model.get_input_embeddings().weight.detach(),
        layers=layers,
        final_norm=gain(body.norm, architecture),
        head=model.get_output_embeddings().weight.detach(),
        inverse_frequencies=rotary.inv_freq.detach().float(),
        rotary_scale=float(rotary.attention_scaling),
    )


def layer_weights(block: Any, architecture: Architecture) -> LayerWeights:
    """Fuse one transformers decoder layer."""
    attention, mlp = block.self_attn, block.mlp
    inputs = (attention.q_proj, attention.k_proj, attention.v_proj)
    gates = (mlp.gate_proj, mlp.up_proj)
    return LayerWeights(
        attention_norm=gain(block.input_layernorm, architecture),
        query_key_value=joined(inputs),
        query_key_value_bias=fused_bias(inputs),
        head_norms=head_norms(attention, architecture),
        attention_out=attention.o_proj.weight.detach(),
        attention_out_bias=fused_bias((attention.o_proj,)),
        mlp_norm=gain(block.post_attention_layernorm, architecture),
        gate_up=joined(gates),
        gate_up_bias=fused_bias(gates),
        down=mlp.down_proj.weight.detach(),
        down_bias=fused_bias((mlp.down_proj,)),
    )


def joined(linears: tuple[Any, ...]) -> Tensor:
    """Weights of several linears in one matrix, of which each takes its part for its own."""
    fused = torch.cat([linear.weight.detach() for linear in linears])
    parts = fused.split([linear.out_features for linear in linears])
    for linear, part in zip(linears, parts, strict=True):
        linear.weight.data = part
    return fused


def return_freed_memory() -> None:
    """Have the C library give back what the separate weights took: GNU's would keep it."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None
    if trim is not None:
        trim(0)


def head_norms(attention: Any, architecture: Architecture) -> HeadNorms | None:
    """Gains of the norms over single heads, of models that have them."""
    if not architecture.query_key_norm:
        return None
    return HeadNorms(gain(attention.q_norm, architecture), gain(attention.k_norm, architecture))


def gain(norm: Any, architecture: Architecture) -> Tensor:
    """The factor an RMS norm multiplies with."""
    weight: Tensor = norm.weight.detach()
    return weight + architecture.norm_offset if architecture.norm_offset else weight


def fused_bias(linears: tuple[Any, ...]) -> Tensor | None:
    """Biases of several linears in one vector, or None when none has one."""
    if all(linear.bias is None for linear in linears):
        return None
    return torch.cat(
        [
            linear.weight.new_zeros(linear.out_features)
            if linear.bias is None
            else linear.bias.detach()
            for linear in linears
        ]
    )
