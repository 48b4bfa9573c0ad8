"""Write a pair's models as GGUF files, for engines that read nothing else.

Llama models with a byte-level BPE tokenizer. Requests travel as token ids, so the file's rule for
cutting text into words (``gpt-2``) need not be the tokenizer's.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import gguf
import torch

from equivcheck.core.errors import PairError
from equivcheck.core.escape import visible
from equivcheck.pairs.load import load_pair
from equivcheck.pairs.tokenizer import read_tokenizer

Precision = Literal["f32", "f16", "bf16"]
"""Type of the matrices; vectors are always f32, as llama.cpp wants them."""

FILE_TYPES = {
    "f32": gguf.LlamaFileType.ALL_F32,
    "f16": gguf.LlamaFileType.MOSTLY_F16,
    "bf16": gguf.LlamaFileType.MOSTLY_BF16,
}


def export_gguf(spec: str, folder: Path, *, precision: Precision = "f32") -> dict[str, Path]:
    """Write ``target.gguf`` and, where the pair has one, ``draft.gguf`` into a folder.

    Returns:
        Role to file.

    Raises:
        PairError: the pair cannot be loaded, or one of its models is no plain llama model with a
            byte-level BPE tokenizer, or has weights that f16 cannot hold.
        OSError: a file cannot be written.
    """
    pair = load_pair(spec, dtype=torch.float32, device="cpu")
    models = {"target": (pair.target, pair.source.target)}
    if pair.draft is not None and pair.source.draft is not None:
        models["draft"] = (pair.draft, pair.source.draft)
    folder.mkdir(parents=True, exist_ok=True)
    written = {}
    for role, (model, source) in models.items():
        label = visible(source.label)
        path = folder / f"{role}.gguf"
        writer = gguf.GGUFWriter(path, "llama")
        try:
            writer.add_name(f"{spec} {role}")
            writer.add_file_type(FILE_TYPES[precision])
            _add_shape(writer, model.config, label=label)
            _add_tokenizer(writer, read_tokenizer(source), rows=model.config.vocab_size)
            _add_ends(writer, pair.eos_token_ids, label=label)
            _add_weights(writer, model, precision=precision, label=label)
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_tensors_to_file()
        finally:
            writer.close()
        written[role] = path
    return written


def _add_shape(writer: Any, config: Any, *, label: str) -> None:
    rope = config.rope_parameters or {}
    if (
        config.model_type != "llama"
        or rope.get("rope_type", "default") != "default"
        or config.attention_bias
        or config.mlp_bias
    ):
        raise PairError(
            f"{label}: only llama models without biases and without scaled positions are written "
            f"as GGUF here; llama.cpp's convert_hf_to_gguf.py knows others"
        )
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(rope.get("rope_theta", 10_000.0))
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)


def _add_tokenizer(writer: Any, tokenizer: Any, *, rows: int) -> None:
    backend = json.loads(tokenizer.backend_tokenizer.to_str())
    if backend["model"]["type"] != "BPE" or backend["decoder"].get("type") != "ByteLevel":
        raise PairError("only byte-level BPE tokenizers are written as GGUF here")
    texts = {token: text for text, token in tokenizer.get_vocab().items()}
    special = {added["id"]: added["special"] for added in backend["added_tokens"]}
    kinds = {None: gguf.TokenType.NORMAL, True: gguf.TokenType.CONTROL}
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([texts.get(token, f"[PAD{token}]") for token in range(rows)])
    writer.add_token_types(
        [
            kinds.get(special.get(token), gguf.TokenType.USER_DEFINED)
            if token in texts
            else gguf.TokenType.UNUSED
            for token in range(rows)
        ]
    )
    merges = backend["model"]["merges"]
    writer.add_token_merges([each if isinstance(each, str) else " ".join(each) for each in merges])
    writer.add_add_bos_token(False)
    if tokenizer.chat_template:
        writer.add_chat_template(tokenizer.chat_template)


def _add_ends(writer: Any, ends: tuple[int, ...], *, label: str) -> None:
    """End of sequence, and end of turn where there are two: the file has no place for more."""
    adders = (writer.add_eos_token_id, writer.add_eot_token_id)
    if len(ends) > len(adders):
        raise PairError(f"{label}: {len(ends)} ids end a text; a GGUF file names two")
    for add, token in zip(adders, ends, strict=False):
        add(token)


def _add_weights(writer: Any, model: Any, *, precision: Precision, label: str) -> None:
    config = model.config
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        stored = tensor
        if name.endswith(("q_proj.weight", "k_proj.weight")):
            # llama.cpp rotates neighbouring numbers, transformers the two halves of a head.
            halves = tensor.reshape(-1, 2, config.head_dim // 2, tensor.shape[1])
            stored = halves.swapaxes(1, 2).reshape(tensor.shape)
        if precision == "f16" and stored.ndim == 2:
            if stored.abs().max() > torch.finfo(torch.float16).max:
                raise PairError(f"{label}: {name} has weights that f16 cannot hold")
            stored = stored.to(torch.float16)
        name_there = names.get_name(name, try_suffixes=(".weight",))
        if precision == "bf16" and stored.ndim == 2:
            # NumPy has no bfloat16: its two bytes a number are handed over as they are.
            pairs = stored.to(torch.bfloat16).contiguous().view(torch.uint8).numpy()
            writer.add_tensor(name_there, pairs, raw_dtype=gguf.GGMLQuantizationType.BF16)
        else:
            writer.add_tensor(name_there, stored.numpy())
