"""Untrained drafting heads for the bundled pair's target, and a random model with an MTP layer.

``python tests/engines/untrained_heads.py FOLDER`` writes ``eagle``, ``eagle3``, ``medusa`` and
``mtp`` below it, in the layouts that vLLM reads. Random as they are, they hand the target's hidden
state on, and so draft the last token again: what they draft is seldom accepted, but where the text
repeats itself. They show whether a method runs, and whether it leaves the output alone.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

TARGET = Path(__file__).parents[2] / "equivcheck" / "pairs" / "tiny" / "target"
SPREAD, SLIGHT = 0.05, 0.002
"""Standard deviation of a weight, of a model and of a head."""
Tensors = dict[str, torch.Tensor]


def write_heads(folder: Path, *, target: Path = TARGET) -> None:
    """Write all four; what is there already is written anew, with the same weights."""
    torch.manual_seed(0)
    config = json.loads((target / "config.json").read_text())
    weights = load_file(target / "model.safetensors")
    embedding = weights["model.embed_tokens.weight"].float()
    hidden, vocab = config["hidden_size"], config["vocab_size"]
    layer = config | {"num_hidden_layers": 1, "dtype": "float32"}
    # The embedding of the target is what training of a head starts from.
    eagle = block("layers.0", config, spread=SLIGHT) | {"embed_tokens.weight": embedding}
    del eagle["layers.0.input_layernorm.weight"]
    save(folder / "eagle", layer, eagle | {"fc.weight": last_of(2, hidden)})
    eagle3 = block("midlayer", config, inputs=2 * hidden, spread=SLIGHT)
    eagle3 |= {
        "midlayer.hidden_norm.weight": torch.ones(hidden),
        "fc.weight": last_of(3, hidden),
        "norm.weight": weights["model.norm.weight"].float(),
        "lm_head.weight": embedding.clone(),
    }
    named = {"architectures": ["LlamaForCausalLMEagle3"], "draft_vocab_size": vocab}
    # Three different ones: what vLLM takes by itself coincides in a target of five layers.
    named |= {"eagle_aux_hidden_state_layer_ids": [1, 2, 4], "tie_word_embeddings": False}
    save(folder / "eagle3", layer | named, eagle3)
    heads = 3
    medusa = {
        f"blocks.{head}.layers.0.weight": normal(hidden, hidden, spread=SLIGHT)
        for head in range(heads)
    }
    medusa |= {f"lm_heads.{head}.weight": embedding.clone() for head in range(heads)}
    told = {"architectures": ["MedusaModel"], "model_type": "medusa", "hidden_size": hidden}
    told |= {"vocab_size": vocab, "medusa_num_heads": heads, "medusa_num_layers": 1}
    save(folder / "medusa", told, medusa)
    write_mtp(folder / "mtp", vocab=vocab, tokenizer=target)


def write_mtp(folder: Path, *, vocab: int, tokenizer: Path) -> None:
    """A target of GLM-4.5's kind: one dense layer, one of experts, and one that predicts on."""
    hidden, experts, width = 128, 4, 64
    config = {
        "architectures": ["Glm4MoeForCausalLM"],
        "model_type": "glm4_moe",
        "attention_bias": False,
        "dtype": "float32",
        "eos_token_id": 0,
        "first_k_dense_replace": 1,
        "head_dim": 32,
        "hidden_act": "silu",
        "hidden_size": hidden,
        "intermediate_size": 2 * hidden,
        "max_position_embeddings": 2048,
        "moe_intermediate_size": width,
        "n_group": 1,
        "n_routed_experts": experts,
        "n_shared_experts": 1,
        "norm_topk_prob": True,
        "num_attention_heads": 4,
        "num_experts_per_tok": 2,
        "num_hidden_layers": 2,
        "num_key_value_heads": 2,
        "num_nextn_predict_layers": 1,
        "pad_token_id": 1,
        "partial_rotary_factor": 0.5,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0,
        "routed_scaling_factor": 1.0,
        "tie_word_embeddings": False,
        "topk_group": 1,
        "use_qk_norm": False,
        "vocab_size": vocab,
    }
    tensors = {
        "model.embed_tokens.weight": normal(vocab, hidden),
        "model.norm.weight": torch.ones(hidden),
        "lm_head.weight": normal(vocab, hidden),
    }
    for number in range(3):
        name = f"model.layers.{number}"
        spread = SLIGHT if number == 2 else SPREAD
        layer = block(name, config, spread=spread)
        if number:
            layer = {each: found for each, found in layer.items() if ".mlp." not in each}
            layer |= {
                f"{name}.mlp.gate.weight": normal(experts, hidden),
                f"{name}.mlp.gate.e_score_correction_bias": torch.zeros(experts),
                **mlp(f"{name}.mlp.shared_experts", hidden, width=width, spread=spread),
            }
            for expert in range(experts):
                layer |= mlp(f"{name}.mlp.experts.{expert}", hidden, width=width, spread=spread)
        tensors |= layer
    tensors |= {
        "model.layers.2.eh_proj.weight": last_of(2, hidden),
        "model.layers.2.enorm.weight": torch.ones(hidden),
        "model.layers.2.hnorm.weight": torch.ones(hidden),
        "model.layers.2.shared_head.norm.weight": torch.ones(hidden),
        "model.layers.2.shared_head.head.weight": tensors["lm_head.weight"].clone(),
        "model.layers.2.embed_tokens.weight": tensors["model.embed_tokens.weight"].clone(),
    }
    save(folder, config, tensors)
    for each in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(tokenizer / each, folder / each)


def block(
    name: str, config: Mapping[str, Any], *, spread: float, inputs: int | None = None
) -> Tensors:
    """A decoder layer of Llama's kind; its attention reads ``inputs`` numbers a token."""
    hidden, size = config["hidden_size"], config["head_dim"]
    queries, keys = config["num_attention_heads"] * size, config["num_key_value_heads"] * size
    read = inputs or hidden
    return {
        f"{name}.input_layernorm.weight": torch.ones(hidden),
        f"{name}.post_attention_layernorm.weight": torch.ones(hidden),
        f"{name}.self_attn.q_proj.weight": normal(queries, read, spread=spread),
        f"{name}.self_attn.k_proj.weight": normal(keys, read, spread=spread),
        f"{name}.self_attn.v_proj.weight": normal(keys, read, spread=spread),
        f"{name}.self_attn.o_proj.weight": normal(hidden, queries, spread=spread),
        **mlp(f"{name}.mlp", hidden, width=config["intermediate_size"], spread=spread),
    }


def mlp(name: str, hidden: int, *, width: int, spread: float) -> Tensors:
    """A gated feed-forward block."""
    return {
        f"{name}.gate_proj.weight": normal(width, hidden, spread=spread),
        f"{name}.up_proj.weight": normal(width, hidden, spread=spread),
        f"{name}.down_proj.weight": normal(hidden, width, spread=spread),
    }


def last_of(parts: int, hidden: int) -> torch.Tensor:
    """A projection that takes the last of several vectors as it is, and little of the others."""
    mixed = normal(hidden, parts * hidden, spread=SLIGHT)
    mixed[:, -hidden:] += torch.eye(hidden)
    return mixed


def normal(*shape: int, spread: float = SPREAD) -> torch.Tensor:
    """Random weights."""
    return torch.randn(*shape) * spread


def save(folder: Path, config: Mapping[str, Any], tensors: Tensors) -> None:
    """Write one checkpoint."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


if __name__ == "__main__":
    write_heads(Path(sys.argv[1]))
