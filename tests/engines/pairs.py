"""A small random pair with a real tokenizer, saved to a folder as a user's models would be.

The checkpoints carry generation settings that must not leak into a run. The draft is the target
with a blurred head, so that some of its tokens are accepted and some are not.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

TEXT = "the cat sat on the mat, and the dog ran far; été naïve 日本語 x = y + 1\n" * 4
LEAKY = {"temperature": 3.0, "top_k": 3, "top_p": 0.5, "repetition_penalty": 4.0, "do_sample": True}
VOCAB = 304


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
    """Save target and draft under ``folder``; returns the pair's specification."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCAB,
        hidden_size=64,
        intermediate_size=160,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        initializer_range=0.2,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=0,
    )
    kind: Any = LlamaForCausalLM
    target = kind(config)
    draft = copy.deepcopy(target)
    with torch.no_grad():
        head = draft.get_output_embeddings().weight
        head.add_(torch.randn(head.shape) * noise)
    save_model(target, folder / "target")
    save_model(draft, folder / "draft")
    return f"{folder / 'target'}+{folder / 'draft'}"
