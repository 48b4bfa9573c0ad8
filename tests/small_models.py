"""Small random Llamas, and a pair of them saved to a folder as a user's models would be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

TEXT = "the cat sat on the mat, and the dog ran far; été naïve 日本語 x = y + 1\n" * 4
LEAKY = {"temperature": 3.0, "top_k": 3, "top_p": 0.5, "repetition_penalty": 4.0, "do_sample": True}
VOCAB = 304


def small_llama(*, seed: int = 0, noise: float = 0.0, **config: Any) -> Any:
    """A random Llama in fp32, in eval mode and without gradients.

    Args:
        seed: Of all weights.
        noise: Blurs the head, to make a draft of the model without noise that is often right.
        config: Of `LlamaConfig`, where it is to differ from a model of two layers of 64.
    """
    torch.manual_seed(seed)
    sizes: dict[str, Any] = {
        "hidden_size": 64,
        "intermediate_size": 160,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "initializer_range": 0.2,
        "tie_word_embeddings": False,
    }
    kind: Any = LlamaForCausalLM
    model = kind(LlamaConfig(**(sizes | config))).eval().requires_grad_(False)
    if noise:
        head = model.get_output_embeddings().weight
        head.add_(torch.randn(head.shape) * noise)
    return model


def save_tokenizer(folder: Path) -> None:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB,
        special_tokens=["<end>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([TEXT], trainer)
    kind: Any = PreTrainedTokenizerFast
    wrapped = kind(tokenizer_object=tokenizer, eos_token="<end>")
    wrapped.save_pretrained(folder)


def save_model(model: Any, folder: Path) -> None:
    model.save_pretrained(folder)
    settings = {"eos_token_id": 0, **LEAKY}
    (folder / "generation_config.json").write_text(json.dumps(settings), encoding="utf-8")
    save_tokenizer(folder)


def save_pair(folder: Path, *, noise: float = 0.15) -> str:
    """Save target and draft under ``folder``; returns the pair's specification.

    Their generation settings must not leak into a run.
    """
    for role, blur in (("target", 0.0), ("draft", noise)):
        model = small_llama(noise=blur, vocab_size=VOCAB, bos_token_id=None, eos_token_id=0)
        save_model(model, folder / role)
    return f"{folder / 'target'}+{folder / 'draft'}"
