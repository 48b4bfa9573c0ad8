"""Write heads as vLLM, SGLang and the native decoder load them, and read them back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from training.heads import DEPTHS, TAPPED, EagleHead, MtpHead

MTP_PREFIX = "model."
SHARED = (
    "hidden_size", "num_attention_heads", "num_key_value_heads", "head_dim", "intermediate_size",
    "hidden_act", "rms_norm_eps", "rope_parameters", "max_position_embeddings", "vocab_size",
    "eos_token_id", "pad_token_id",
)  # fmt: skip
"""What a head's config repeats of its target's."""


def save_eagle(head: EagleHead, folder: Path, *, target: Any) -> None:
    """Write the EAGLE-3 head in bf16; its embedding is the target's."""
    tensors = {
        name: tensor.to(torch.bfloat16) if tensor.is_floating_point() else tensor
        for name, tensor in head.state_dict().items()
    }
    config = shared(target) | {
        "architectures": ["LlamaForCausalLMEagle3"],
        "num_hidden_layers": 1,
        "draft_vocab_size": len(head.d2t),
        "eagle_config": {"eagle_aux_hidden_state_layer_ids": list(TAPPED)},
    }
    write(folder, tensors, config)


def save_mtp(head: MtpHead, folder: Path, *, target: Any) -> None:
    """Write the MTP head in bf16; embedding and output matrix are the target's."""
    tensors = {
        f"{MTP_PREFIX}{name}": tensor.to(torch.bfloat16)
        for name, tensor in head.state_dict().items()
    }
    config = shared(target) | {
        "architectures": ["MiMoMTPModel"],
        "num_hidden_layers": DEPTHS,
        "num_nextn_predict_layers": DEPTHS,
    }
    write(folder, tensors, config)


def shared(target: Any) -> dict[str, Any]:
    """Of a Llama model's config."""
    config = target.config.to_dict()
    return {name: config[name] for name in SHARED} | {
        "model_type": "llama",
        "dtype": "bfloat16",
        "tie_word_embeddings": False,
    }


def write(folder: Path, tensors: dict[str, torch.Tensor], config: dict[str, Any]) -> None:
    """Both files of a head."""
    folder.mkdir(parents=True, exist_ok=True)
    whole = {name: tensor.contiguous() for name, tensor in tensors.items()}
    save_file(whole, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def load_eagle(folder: Path, *, target: Any) -> EagleHead:
    """The saved head, in fp32."""
    tensors = load_file(folder / "model.safetensors")
    head = EagleHead(target.config, drafted=tensors["d2t"] + torch.arange(len(tensors["d2t"])))
    head.load_state_dict(tensors)
    return head


def load_mtp(folder: Path, *, target: Any) -> MtpHead:
    """The saved head, in fp32."""
    tensors = load_file(folder / "model.safetensors")
    head = MtpHead(target.config)
    head.load_state_dict({name.removeprefix(MTP_PREFIX): each for name, each in tensors.items()})
    return head
