"""Build the tokenizer that a GGUF file describes.

transformers' own reading of a byte-level BPE swaps BOS and EOS and drops the digit split
(integrations/ggml.py, 5.17), so those are built here from the file's metadata. Other kinds
(SentencePiece) are left to transformers, with the special tokens set right.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from equivcheck.core.errors import PairError, unknown_name
from equivcheck.core.escape import visible

Metadata = Mapping[str, Any]


class TokenType(enum.IntEnum):
    """``tokenizer.ggml.token_type``, as the GGUF specification numbers them."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


_LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_QWEN2 = _LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")


def _by_pattern(pattern: str) -> Any:
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def _gpt2() -> Any:
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)


def _digits_then_gpt2() -> Any:
    return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), _gpt2()])


PRE_TOKENIZERS = {
    "command-r": _digits_then_gpt2,
    "default": _gpt2,
    "gpt-2": _gpt2,
    "gpt2": _gpt2,
    "llama-bpe": lambda: _by_pattern(_LLAMA3),
    "llama3": lambda: _by_pattern(_LLAMA3),
    "qwen2": lambda: _by_pattern(_QWEN2),
    "refact": _digits_then_gpt2,
    "smollm": _digits_then_gpt2,
    "starcoder": _digits_then_gpt2,
}
"""``tokenizer.ggml.pre`` to how text is cut before merging, as in llama.cpp's llama-vocab.cpp."""
_WHOLE_WORDS_FIRST = frozenset({"llama-bpe", "llama3"})
_LEADS_WITH_BOS = frozenset({"llama-bpe", "llama3"})
ROLES = {
    "bos_token": "tokenizer.ggml.bos_token_id",
    "eos_token": "tokenizer.ggml.eos_token_id",
    "unk_token": "tokenizer.ggml.unknown_token_id",
    "pad_token": "tokenizer.ggml.padding_token_id",
}
_IDS = (*ROLES.values(), "tokenizer.ggml.eot_token_id")
_TEXTS = ("tokenizer.ggml.model", "tokenizer.ggml.pre", "tokenizer.chat_template")
_LISTS: Mapping[str, type] = {
    "tokenizer.ggml.tokens": str,
    "tokenizer.ggml.token_type": int,
    "tokenizer.ggml.merges": str,
}
PROOF = "Proof 0123: it's  déjà vu,\n\tdon't 日本語 🙂 {\"a\": [1.5]}\n\n  end"


def build_tokenizer(metadata: Metadata, path: Path) -> Any:
    """The tokenizer of a GGUF file, proven to give a text back as it was.

    Raises:
        PairError: the file has none, or one of a kind that cannot be rebuilt exactly.
    """
    if "tokenizer.ggml.tokens" not in metadata:
        raise PairError(f"{visible(str(path))}: this GGUF file has no tokenizer")
    refuse_damage(metadata, path)
    kind = metadata.get("tokenizer.ggml.model")
    tokenizer = _byte_level(metadata, path) if kind == "gpt2" else _by_transformers(path)
    tokens = metadata["tokenizer.ggml.tokens"]
    for role, key in ROLES.items():
        setattr(tokenizer, role, tokens[metadata[key]] if key in metadata else None)
    leading = metadata.get(ROLES["bos_token"])
    if leading is not None and metadata.get("tokenizer.ggml.add_bos_token", _adds_bos(metadata)):
        _lead_with(tokenizer.backend_tokenizer, leading, tokens=tokens)
    tokenizer.chat_template = metadata.get("tokenizer.chat_template")
    given_back = tokenizer.decode(tokenizer(PROOF)["input_ids"], skip_special_tokens=True)
    if given_back != PROOF:
        raise PairError(
            f"{visible(str(path))}: its tokenizer ({visible(str(kind))}) cannot be rebuilt: "
            f"{PROOF!r} comes back as {given_back!r}; use the model's safetensors folder"
        )
    return tokenizer


def refuse_damage(metadata: Metadata, path: Path) -> None:
    """Refuse values of other types, arrays that do not go together and ids outside them.

    Raises:
        PairError: naming the key.
    """
    for key in (*_IDS, *_TEXTS, *_LISTS):
        if key in metadata and not _is_typed(metadata[key], key=key):
            raise PairError(
                f"{visible(str(path))}: {key}: not of the type that the GGUF specification gives it"
            )
    size = len(metadata["tokenizer.ggml.tokens"])
    types = metadata.get("tokenizer.ggml.token_type")
    if types is not None and len(types) != size:
        raise PairError(f"{visible(str(path))}: {len(types)} token types for {size} tokens")
    for key in _IDS:
        if not 0 <= metadata.get(key, 0) < size:
            raise PairError(
                f"{visible(str(path))}: {key} is {metadata[key]}, outside its {size} tokens"
            )


def _is_typed(value: object, *, key: str) -> bool:
    if key in _LISTS:
        # A flag is no number here, although Python takes it for one.
        return isinstance(value, list) and all(type(each) is _LISTS[key] for each in value)
    return type(value) is (str if key in _TEXTS else int)


def _by_transformers(path: Path) -> Any:
    try:
        return AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    except (OSError, ValueError, KeyError, NotImplementedError) as error:
        raise PairError(
            f"{visible(str(path))}: its tokenizer cannot be read: {visible(str(error))}; use the "
            f"model's safetensors folder"
        ) from error


def _byte_level(metadata: Metadata, path: Path) -> Any:
    cut = metadata.get("tokenizer.ggml.pre", "default")
    if cut not in PRE_TOKENIZERS:
        raise PairError(
            f"{visible(str(path))}: {unknown_name('pre-tokenizer', cut, PRE_TOKENIZERS)}; "
            f"use the model's safetensors folder"
        )
    tokens = metadata["tokenizer.ggml.tokens"]
    types = metadata.get("tokenizer.ggml.token_type") or [TokenType.NORMAL] * len(tokens)
    # Unused entries are names for the embedding's padding rows, no tokens.
    vocabulary = {
        token: token_id
        for token_id, (token, kind) in enumerate(zip(tokens, types, strict=True))
        if kind != TokenType.UNUSED
    }
    merges = [_merge(text, vocabulary, path) for text in metadata.get("tokenizer.ggml.merges", ())]
    backend: Any = Tokenizer(
        models.BPE(
            vocab=vocabulary,
            merges=merges,
            ignore_merges=cut in _WHOLE_WORDS_FIRST,
        )
    )
    backend.pre_tokenizer = PRE_TOKENIZERS[cut]()
    backend.decoder = decoders.ByteLevel()
    _add_tokens(backend, tokens=tokens, types=types)
    kind: Any = PreTrainedTokenizerFast
    return kind(tokenizer_object=backend, clean_up_tokenization_spaces=False)


def _merge(text: str, vocabulary: Mapping[str, int], path: Path) -> tuple[str, str]:
    first, _, second = text.partition(" ")
    if not {first, second, first + second} <= vocabulary.keys():
        raise PairError(f"{visible(str(path))}: merge '{visible(text)}' names no known tokens")
    return first, second


def _adds_bos(metadata: Metadata) -> bool:
    """What llama.cpp does where the file is silent."""
    if metadata.get("tokenizer.ggml.model") == "gpt2":
        return metadata.get("tokenizer.ggml.pre") in _LEADS_WITH_BOS
    return metadata.get("tokenizer.ggml.model") == "llama"


def _add_tokens(backend: Any, *, tokens: list[str], types: list[int]) -> None:
    """Have control and user-defined tokens matched whole, before any cutting, ids kept."""
    for token, kind in zip(tokens, types, strict=True):
        if kind in (TokenType.CONTROL, TokenType.USER_DEFINED):
            special = kind == TokenType.CONTROL
            backend.add_tokens([AddedToken(token, normalized=False, special=special)])


def _lead_with(backend: Any, token_id: int, *, tokens: list[str]) -> None:
    token = tokens[token_id]
    backend.post_processor = processors.TemplateProcessing(
        single=f"{token} $A", pair=f"{token} $A $B", special_tokens=[(token, token_id)]
    )
