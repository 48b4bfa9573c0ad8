"""Checkpoints that transformers drafts with, made of the bundled pair: seeded, in seconds.

``python -m tests.drafting_checkpoints FOLDER`` writes, below it,

- ``foreign``: the bundled draft under a tokenizer of its own: fewer tokens, other ids, and some
  that the target lacks (``subset``: the same without those);
- ``mtp``: the bundled target as a model of GLM-4.5's kind, of which it gives the same logits, with
  two layers behind the last that predict ahead. Their projections are fitted by least squares to
  what the target computes one token on; their attention and experts are random and slight;
- ``dflash``: a block drafter of Muse Glimmer's kind, random and slight: it drafts its mask token,
  which is the target's most frequent one.
"""

from __future__ import annotations

import json
import random
import shutil
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    MuseGlimmerAssistantConfig,
    MuseGlimmerAssistantModel,
)

TINY = Path(__file__).parents[1] / "equivcheck" / "pairs" / "tiny"
SLIGHT = 0.002
"""Standard deviation of weights that are to change little."""
DEPTHS = 2
FITTED_ON, ROWS = 2048, 32
"""Tokens of the target's own, for the least squares."""
Tensors = dict[str, torch.Tensor]


def write_foreign(folder: Path, *, kept: int = 2048, own: int = 16) -> Path:
    """The bundled draft with the first ``kept`` of its tokens and ``own`` new ones, all renumbered.

    ``own=0`` makes a vocabulary that is part of the target's.
    """
    folder.mkdir(parents=True, exist_ok=True)
    source = TINY / "draft"
    tokenizer = json.loads((source / "tokenizer.json").read_text())
    old: dict[str, int] = tokenizer["model"]["vocab"]
    texts = [text for text, number in old.items() if number < kept]
    texts += [f"<own{number}>" for number in range(own)]
    random.Random(0).shuffle(texts)
    new = {text: number for number, text in enumerate(texts)}
    merges = tokenizer["model"]["merges"]
    tokenizer["model"]["vocab"] = new
    tokenizer["model"]["merges"] = [pair for pair in merges if "".join(pair) in new]
    for added in tokenizer["added_tokens"]:
        added["id"] = new[added["content"]]
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    shutil.copy(source / "tokenizer_config.json", folder / "tokenizer_config.json")
    weights = load_file(source / "model.safetensors")
    rows = weights["model.embed_tokens.weight"]
    centre = rows.float().mean(0).to(rows.dtype)
    weights["model.embed_tokens.weight"] = torch.stack(
        [rows[old[text]] if text in old else centre for text in texts]
    )
    config = json.loads((source / "config.json").read_text())
    end = tokenizer["added_tokens"][0]["id"]
    config |= {"vocab_size": len(texts), "eos_token_id": end, "pad_token_id": None}
    save(folder, config, weights)
    return folder


def write_dflash(folder: Path) -> Path:
    """A block drafter of three tokens a step for the bundled target."""
    target = json.loads((TINY / "target" / "config.json").read_text())
    torch.manual_seed(0)
    kind: Any = MuseGlimmerAssistantConfig
    config = kind(
        hidden_size=target["hidden_size"],
        intermediate_size=2 * target["hidden_size"],
        num_hidden_layers=1,
        num_attention_heads=target["num_attention_heads"],
        num_key_value_heads=target["num_key_value_heads"],
        head_dim=target["head_dim"],
        max_position_embeddings=target["max_position_embeddings"],
        layer_types=["full_attention"],
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        target_layer_ids=[0, 2, 4],
        block_size=4,
        mask_token_id=most_frequent(),
        initializer_range=SLIGHT,
        bos_token_id=None,
        eos_token_id=target["eos_token_id"],
        pad_token_id=target["pad_token_id"],
    )
    model: Any = MuseGlimmerAssistantModel(config)
    model.save_pretrained(folder)
    return folder


def most_frequent() -> int:
    """The token that the target's own text holds most often."""
    return int(own_text(load_target()).flatten().bincount().argmax())


def write_mtp(folder: Path) -> Path:
    """The bundled target as GLM-4.5 would store it, with `DEPTHS` layers that predict ahead."""
    source = TINY / "target"
    old = json.loads((source / "config.json").read_text())
    layers, hidden = old["num_hidden_layers"], old["hidden_size"]
    shared = (
        *("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"),
        *("num_key_value_heads", "head_dim", "hidden_act", "rms_norm_eps", "vocab_size"),
        *("max_position_embeddings", "tie_word_embeddings", "eos_token_id", "pad_token_id"),
    )
    config = {name: old[name] for name in shared} | {
        "architectures": ["Glm4MoeForCausalLM"],
        "model_type": "glm4_moe",
        "attention_bias": False,
        "dtype": "float32",
        # All layers of the target are dense; those that predict ahead never are.
        "first_k_dense_replace": layers,
        "moe_intermediate_size": 32,
        "n_group": 1,
        "n_routed_experts": 4,
        "n_shared_experts": 1,
        "num_experts_per_tok": 2,
        "num_nextn_predict_layers": DEPTHS,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 10000.0,
            "partial_rotary_factor": 1.0,
        },
        "topk_group": 1,
    }
    tensors = {name: each.float() for name, each in load_file(source / "model.safetensors").items()}
    torch.manual_seed(0)
    for depth, projection in enumerate(fitted_projections()):
        name = f"model.layers.{layers + depth}"
        tensors |= random_block(name, config)
        tensors |= {
            f"{name}.eh_proj.weight": projection,
            f"{name}.enorm.weight": torch.ones(hidden),
            f"{name}.hnorm.weight": torch.ones(hidden),
            f"{name}.shared_head.norm.weight": tensors["model.norm.weight"].clone(),
        }
    save(folder, config, tensors)
    for each in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(source / each, folder / each)
    return folder


@torch.inference_mode()
def fitted_projections() -> list[torch.Tensor]:
    """For each depth [hidden, 2 hidden]: from token and state before to the state of one token on.

    What the first depth gives is what the second is given, as when drafting.
    """
    model = load_target()
    ids = own_text(model)
    # Before the last norm, so that the checkpoint's own norm makes logits of it.
    raw: list[torch.Tensor] = []
    handle = model.model.norm.register_forward_pre_hook(lambda _, given: raw.append(given[0]))
    model.model(ids)
    handle.remove()
    states = raw[0].flatten(0, 1)
    embedded = rms(model.model.embed_tokens(ids).flatten(0, 1))
    given, found = model.model.norm(states), []
    length = ids.shape[1]
    for depth in range(DEPTHS):
        # Position t is given the token at t + depth + 1 and predicts what follows it.
        inputs, wanted = [], []
        for row in range(ids.shape[0]):
            start, count = row * length, length - depth - 1
            tokens = embedded[start + depth + 1 : start + length]
            inputs.append(torch.cat([tokens, rms(given[start : start + count])], dim=1))
            wanted.append(states[start + depth + 1 : start + length])
        left, right = torch.cat(inputs), torch.cat(wanted)
        ridge = 1e-2 * len(left) * torch.eye(left.shape[1])
        projection = torch.linalg.solve(left.T @ left + ridge, left.T @ right).T.contiguous()
        found.append(projection)
        after = torch.zeros_like(given)
        for row in range(ids.shape[0]):
            start, count = row * length, length - depth - 1
            after[start : start + count] = model.model.norm(inputs[row] @ projection.T)
        given = after
    return found


@torch.inference_mode()
def own_text(model: Any) -> torch.Tensor:
    """[ROWS, n] ids that the target writes itself, sampled."""
    torch.manual_seed(0)
    tokenizer: Any = AutoTokenizer.from_pretrained(TINY / "target")
    starts = ["def ", "import ", "{", "SELECT ", "The ", "class ", "for ", "# "]
    ids = torch.tensor([tokenizer(each).input_ids[:1] for each in starts] * (ROWS // len(starts)))
    written: torch.Tensor = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        do_sample=True,
        min_new_tokens=FITTED_ON // ROWS,
        max_new_tokens=FITTED_ON // ROWS,
        pad_token_id=1,
    )
    return written


def load_target() -> Any:
    """The bundled target, fp32."""
    loaded: Any = AutoModelForCausalLM.from_pretrained(TINY / "target", dtype=torch.float32)
    return loaded.requires_grad_(False).eval()


def rms(rows: torch.Tensor) -> torch.Tensor:
    """Rows of a root mean square of 1, as a norm whose weights are 1 gives them."""
    return rows * torch.rsqrt(rows.pow(2).mean(-1, keepdim=True) + 1e-6)


def random_block(name: str, config: dict[str, Any]) -> Tensors:
    """A layer of attention and experts that adds next to nothing."""
    hidden, width = config["hidden_size"], config["moe_intermediate_size"]
    queries = config["num_attention_heads"] * config["head_dim"]
    keys = config["num_key_value_heads"] * config["head_dim"]
    sizes = {
        "self_attn.q_proj": (queries, hidden),
        "self_attn.k_proj": (keys, hidden),
        "self_attn.v_proj": (keys, hidden),
        "self_attn.o_proj": (hidden, queries),
        "mlp.gate": (config["n_routed_experts"], hidden),
    }
    experts = [f"experts.{number}" for number in range(config["n_routed_experts"])]
    for each in ("shared_experts", *experts):
        sizes[f"mlp.{each}.gate_proj"] = sizes[f"mlp.{each}.up_proj"] = (width, hidden)
        sizes[f"mlp.{each}.down_proj"] = (hidden, width)
    return {
        f"{name}.input_layernorm.weight": torch.ones(hidden),
        f"{name}.post_attention_layernorm.weight": torch.ones(hidden),
        f"{name}.mlp.gate.e_score_correction_bias": torch.zeros(config["n_routed_experts"]),
        **{f"{name}.{each}.weight": torch.randn(*size) * SLIGHT for each, size in sizes.items()},
    }


def save(folder: Path, config: dict[str, Any], tensors: Tensors) -> None:
    """Write one checkpoint."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def write_all(folder: Path) -> None:
    """Write all of them; what is there already is written anew, with the same weights."""
    write_foreign(folder / "foreign")
    write_foreign(folder / "subset", own=0)
    write_mtp(folder / "mtp")
    write_dflash(folder / "dflash")


if __name__ == "__main__":
    write_all(Path(sys.argv[1]))
