"""Random heads on disk, as serving engines load them, and the plain torch that they stand for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

NORMS = ("input_layernorm", "post_attention_layernorm")


def layer_shapes(config: dict[str, Any], *, prefix: str, inputs: int) -> dict[str, tuple[int, ...]]:
    """Of a decoder layer's tensors."""
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    queries = config["num_attention_heads"] * config["head_dim"]
    keys = config["num_key_value_heads"] * config["head_dim"]
    attention, mlp = f"{prefix}self_attn.", f"{prefix}mlp."
    return {
        f"{attention}q_proj.weight": (queries, inputs),
        f"{attention}k_proj.weight": (keys, inputs),
        f"{attention}v_proj.weight": (keys, inputs),
        f"{attention}o_proj.weight": (hidden, queries),
        f"{mlp}gate_proj.weight": (inner, hidden),
        f"{mlp}up_proj.weight": (inner, hidden),
        f"{mlp}down_proj.weight": (hidden, inner),
        **{f"{prefix}{norm}.weight": (hidden,) for norm in NORMS},
    }


def head_config(target: Any, **changes: Any) -> dict[str, Any]:
    """The config of a head as wide as a transformers target, without what names its kind."""
    heads = target.num_attention_heads
    return {
        "hidden_size": target.hidden_size,
        "intermediate_size": 2 * target.hidden_size,
        "num_attention_heads": heads,
        "num_key_value_heads": target.num_key_value_heads,
        "head_dim": target.hidden_size // heads,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0,
        "max_position_embeddings": 4096,
        "vocab_size": target.vocab_size,
        "hidden_act": "silu",
        "num_hidden_layers": 1,
        **changes,
    }


def eagle_config(target: Any, *, keeps: tuple[int, ...], drafted: int, **changes: Any) -> Any:
    told = {"eagle_aux_hidden_state_layer_ids": list(keeps), "use_aux_hidden_state": True}
    named = {"architectures": ["LlamaForCausalLMEagle3"], "draft_vocab_size": drafted}
    return head_config(target, eagle_config=told, **named, **changes)


def eagle_shapes(config: dict[str, Any], *, target_hidden: int) -> dict[str, tuple[int, ...]]:
    hidden = config["hidden_size"]
    places = len(config["eagle_config"]["eagle_aux_hidden_state_layer_ids"])
    return {
        "fc.weight": (hidden, places * target_hidden),
        "midlayer.hidden_norm.weight": (hidden,),
        "norm.weight": (hidden,),
        "lm_head.weight": (config["draft_vocab_size"], hidden),
        **layer_shapes(config, prefix="midlayer.", inputs=2 * hidden),
    }


def mtp_shapes(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    hidden: int = config["hidden_size"]
    shapes: dict[str, tuple[int, ...]] = {}
    for depth in range(config["num_nextn_predict_layers"]):
        prefix = f"model.mtp_layers.{depth}."
        for norm in ("token_layernorm", "hidden_layernorm", "final_layernorm"):
            shapes[f"{prefix}{norm}.weight"] = (hidden,)
        shapes[f"{prefix}input_proj.weight"] = (hidden, 2 * hidden)
        shapes |= layer_shapes(config, prefix=prefix, inputs=hidden)
    return shapes


def random_tensors(shapes: dict[str, tuple[int, ...]], *, seed: int = 0) -> dict[str, Tensor]:
    """Weights of the usual size, gains around 1."""
    generator = torch.Generator().manual_seed(seed)
    made = {}
    for name, shape in shapes.items():
        noise = torch.randn(shape, generator=generator)
        made[name] = 1 + 0.2 * noise if len(shape) == 1 else noise / shape[1] ** 0.5
    return made


def id_map(drafted: int, *, vocab: int, seed: int = 0) -> dict[str, Tensor]:
    """`d2t` and `t2d` of a random part of the vocabulary."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randperm(vocab, generator=generator)[:drafted].sort().values
    return {
        "d2t": ids - torch.arange(drafted),
        "t2d": torch.zeros(vocab, dtype=torch.bool).index_fill_(0, ids, True),
    }


def save_head(folder: Path, config: dict[str, Any], tensors: dict[str, Tensor]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    save_file({name: each.contiguous() for name, each in tensors.items()}, folder / FILE)
    return folder


FILE = "model.safetensors"


def rms(hidden: Tensor, gain: Tensor, *, eps: float = 1e-6) -> Tensor:
    normed: Tensor = hidden * torch.rsqrt(hidden.pow(2).mean(dim=-1, keepdim=True) + eps)
    return normed * gain


def turned(heads: Tensor, *, base: float) -> Tensor:
    """Rotary positions 0, 1, ... of [..., tokens, dim], each half a real or imaginary part."""
    half = heads.shape[-1] // 2
    angles = torch.arange(heads.shape[-2])[:, None] * base ** (-torch.arange(half) / half)
    real, imaginary = heads[..., :half], heads[..., half:]
    cos, sin = angles.cos(), angles.sin()
    return torch.cat([real * cos - imaginary * sin, real * sin + imaginary * cos], dim=-1)


def decoder_layer(
    inputs: Tensor,
    residual: Tensor,
    tensors: dict[str, Tensor],
    config: dict[str, Any],
    prefix: str,
) -> Tensor:
    """A Llama layer over whole texts [texts, tokens, size] whose attention takes `inputs`."""

    def heads(name: str) -> Tensor:
        projected: Tensor = inputs @ tensors[f"{prefix}self_attn.{name}_proj.weight"].T
        split: Tensor = projected.unflatten(-1, (-1, config["head_dim"]))
        return split.transpose(-2, -3)

    base = config["rope_theta"]
    query, key, value = turned(heads("q"), base=base), turned(heads("k"), base=base), heads("v")
    shared = query.shape[-3] // key.shape[-3]
    key, value = (each.repeat_interleave(shared, dim=-3) for each in (key, value))
    scores = query @ key.transpose(-1, -2) / config["head_dim"] ** 0.5
    ahead = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
    mixed = (scores.masked_fill(ahead, float("-inf")).softmax(dim=-1) @ value).transpose(-2, -3)
    hidden: Tensor = residual + mixed.flatten(-2) @ tensors[f"{prefix}self_attn.o_proj.weight"].T
    normed = rms(hidden, tensors[f"{prefix}post_attention_layernorm.weight"])
    gate = torch.nn.functional.silu(normed @ tensors[f"{prefix}mlp.gate_proj.weight"].T)
    inner = gate * (normed @ tensors[f"{prefix}mlp.up_proj.weight"].T)
    return hidden + inner @ tensors[f"{prefix}mlp.down_proj.weight"].T


def eagle_pass(
    embedded: Tensor, hidden: Tensor, tensors: dict[str, Tensor], config: dict[str, Any]
) -> tuple[Tensor, Tensor]:
    """EAGLE-3 over whole texts: draft logits, and the hidden states that are fed back.

    Args:
        embedded: of the token behind each position, [texts, tokens, hidden].
        hidden: what `fc` made of the target's, or what was fed back.
        tensors: of the head.
        config: of the head.
    """
    normed = rms(embedded, tensors["midlayer.input_layernorm.weight"])
    beside = torch.cat([normed, rms(hidden, tensors["midlayer.hidden_norm.weight"])], dim=-1)
    left = decoder_layer(beside, hidden, tensors, config, "midlayer.")
    return rms(left, tensors["norm.weight"]) @ tensors["lm_head.weight"].T, left


def mtp_pass(
    embedded: Tensor, hidden: Tensor, tensors: dict[str, Tensor], config: dict[str, Any], depth: int
) -> Tensor:
    """A depth of MTP over whole texts: what logits are made of and the next depth takes."""
    prefix = f"model.mtp_layers.{depth}."
    embedded = embedded.clone()
    embedded[..., 0, :] = 0.0
    normed = (
        rms(hidden, tensors[f"{prefix}hidden_layernorm.weight"]),
        rms(embedded, tensors[f"{prefix}token_layernorm.weight"]),
    )
    joined = torch.cat(normed, dim=-1) @ tensors[f"{prefix}input_proj.weight"].T
    inputs = rms(joined, tensors[f"{prefix}input_layernorm.weight"])
    left = decoder_layer(inputs, joined, tensors, config, prefix)
    return rms(left, tensors[f"{prefix}final_layernorm.weight"])
