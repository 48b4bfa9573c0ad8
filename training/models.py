"""Shapes of the bundled pair: Llama, about 6 to 1 in parameters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from training.tokenizer import VOCABULARY

TARGET: dict[str, Any] = {
    "hidden_size": 256,
    "num_hidden_layers": 5,
    "intermediate_size": 768,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
DRAFT: dict[str, Any] = {
    "hidden_size": 128,
    "num_hidden_layers": 2,
    "intermediate_size": 384,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
}
CONTEXT = 2048


def new_model(shape: dict[str, Any], *, end: int, pad: int, seed: int) -> Any:
    """A freshly initialised model in fp32, ready for training."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
        bos_token_id=None,
        eos_token_id=end,
        pad_token_id=pad,
        **shape,
    )
    model: Any = LlamaForCausalLM
    return model(config)


def save(model: Any, folder: Path) -> None:
    """Write bf16 safetensors and the configs."""
    from transformers import LlamaForCausalLM

    kind: Any = LlamaForCausalLM
    copy = kind(model.config).to(torch.bfloat16)
    copy.load_state_dict(model.state_dict())
    copy.save_pretrained(folder)


def bundled(folder: Path) -> Any:
    """What `save` wrote, for evaluation: weights as rounded to bf16, arithmetic in fp32."""
    from transformers import LlamaForCausalLM

    kind: Any = LlamaForCausalLM
    return kind.from_pretrained(folder, dtype=torch.float32).eval()
