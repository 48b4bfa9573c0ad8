"""Tiny checkpoints, tokenizers and GGUF files, written to a test's own folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gguf
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from tests.small_models import small_llama

END = "<|end|>"
START = "<|start|>"
ALPHABET = sorted(pre_tokenizers.ByteLevel.alphabet())
MERGES = [("h", "e"), ("l", "l"), ("he", "ll"), ("hell", "o"), ("Ġ", "w"), ("1", "2")]
TEMPLATE = (
    "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system turn') }}"
    "{% endif %}<|start|>{{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|start|>{% endif %}"
)


def vocabulary() -> list[str]:
    return [END, START, *ALPHABET, *("".join(pair) for pair in MERGES)]


def make_tokenizer(
    tokens: Sequence[str] | None = None,
    *,
    added: Sequence[str] = (),
    chat_template: str | None = TEMPLATE,
    eos: str | None = END,
) -> Any:
    """A byte-level BPE tokenizer; `tokens` replaces the names of all ids, in order."""
    tokens = tokens or vocabulary()
    merges = [(one, two) for one, two in MERGES if {one, two, one + two} <= set(tokens)]
    backend: Any = Tokenizer(
        models.BPE(vocab={token: index for index, token in enumerate(tokens)}, merges=merges)
    )
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken(name, special=True) for name in (END, START)])
    backend.add_tokens(list(added))
    kind: Any = PreTrainedTokenizerFast
    return kind(tokenizer_object=backend, eos_token=eos, chat_template=chat_template)


def make_model(*, rows: int, hidden: int = 32, seed: int = 0, **config: Any) -> Any:
    own = {"max_position_embeddings": 64, "bos_token_id": None, "eos_token_id": 0}
    return small_llama(
        seed=seed,
        vocab_size=rows,
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        **{"initializer_range": 0.02, "tie_word_embeddings": True} | own | config,
    )


def write_model(
    folder: Path, *, rows: int = 264, hidden: int = 32, seed: int = 0, tokenizer: Any = None
) -> Path:
    """A folder as a user would have it; the vocabulary has 264 tokens."""
    make_model(rows=rows, hidden=hidden, seed=seed).save_pretrained(folder)
    (make_tokenizer() if tokenizer is None else tokenizer).save_pretrained(folder)
    return folder


def write_gguf(
    path: Path,
    model: Any,
    *,
    quantised: bool = False,
    metadata: Mapping[str, str | bool | int] | None = None,
) -> Path:
    """A llama GGUF of `model`, with the byte-level vocabulary of `vocabulary`."""
    config = model.config
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(10_000.0)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    add_vocabulary(writer, vocabulary(), rows=config.vocab_size)
    adders: Any = {str: writer.add_string, bool: writer.add_bool, int: writer.add_uint32}
    for key, value in {"tokenizer.ggml.pre": "smollm", **(metadata or {})}.items():
        adders[type(value)](key, value)
    add_tensors(writer, model, quantised=quantised)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def add_vocabulary(writer: Any, tokens: list[str], *, rows: int) -> None:
    """Control tokens first, then text, then names for the padding rows."""
    padding = [f"[PAD{index}]" for index in range(len(tokens), rows)]
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list([*tokens, *padding])
    writer.add_token_types([3, 3, *[1] * (len(tokens) - 2), *[5] * len(padding)])
    writer.add_token_merges([f"{one} {two}" for one, two in MERGES])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(0)
    writer.add_chat_template(TEMPLATE)


def add_tensors(writer: Any, model: Any, *, quantised: bool) -> None:
    """Named and permuted as llama.cpp's converter does."""
    config = model.config
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight":
            continue
        if "q_proj" in name or "k_proj" in name:
            heads = tensor.shape[0] // config.head_dim
            halves = tensor.reshape(heads, 2, config.head_dim // 2, -1)
            tensor = halves.swapaxes(1, 2).reshape(tensor.shape)
        data, kind = tensor.numpy(), None
        if quantised and tensor.ndim == 2:
            kind = gguf.GGMLQuantizationType.Q8_0
            data = gguf.quants.quantize(data, kind)
        renamed = names.get_name(name, try_suffixes=(".weight",))
        writer.add_tensor(renamed, data, raw_dtype=kind)


def write_sentencepiece_gguf(path: Path) -> Path:
    """A vocabulary only, as llama.cpp writes a SentencePiece one: pieces, scores, byte tokens."""
    pieces = ["\u2581", *"abcdefghijklmnopqrstuvwxyz", "he", "ll", "hell", "hello", "\u2581hello"]
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *pieces]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(1)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * 259 + [-float(index) for index in range(len(pieces))])
    writer.add_token_types([2, 3, 3, *[6] * 256, *[1] * len(pieces)])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return path
