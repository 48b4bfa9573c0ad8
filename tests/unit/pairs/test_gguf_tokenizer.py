from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from equivcheck.core.errors import PairError
from equivcheck.pairs.gguf import read_metadata
from equivcheck.pairs.gguf_tokenizer import build_tokenizer
from tests.unit.pairs.make import (
    END,
    MERGES,
    START,
    TEMPLATE,
    vocabulary,
    write_sentencepiece_gguf,
)

HERE = Path("model.gguf")
TEXTS = ("hello world", "x = [1212]\n\tdon't", "  déjà 日本語 🙂\r\n\n", "<|start|>hello<|end|>")


def metadata(**changes: Any) -> dict[str, Any]:
    tokens = [*vocabulary(), "<tool>", "[PAD265]"]
    found = {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "smollm",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [3, 3, *[1] * (len(tokens) - 4), 4, 5],
        "tokenizer.ggml.merges": [f"{one} {two}" for one, two in MERGES],
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 0,
        "tokenizer.chat_template": TEMPLATE,
    }
    found |= {f"tokenizer.ggml.{key}": value for key, value in changes.items()}
    return {key: value for key, value in found.items() if value is not None}


def tokens_of(tokenizer: Any, text: str) -> list[str]:
    found: list[str] = tokenizer.convert_ids_to_tokens(tokenizer(text)["input_ids"])
    return found


def test_roles_are_the_files_own() -> None:
    tokenizer = build_tokenizer(metadata(), HERE)
    assert (tokenizer.bos_token, tokenizer.eos_token) == (START, END)
    assert (tokenizer.unk_token, tokenizer.pad_token) == (None, None)
    assert tokenizer.chat_template == TEMPLATE


@pytest.mark.parametrize("text", TEXTS)
def test_text_comes_back_and_survives_saving(tmp_path: Path, text: str) -> None:
    tokenizer = build_tokenizer(metadata(), HERE)
    tokenizer.save_pretrained(tmp_path)
    read = AutoTokenizer.from_pretrained(tmp_path)
    token_ids = tokenizer(text)["input_ids"]
    assert tokenizer.decode(token_ids) == text
    assert read(text)["input_ids"] == token_ids
    assert read.eos_token_id == 0


def test_special_and_user_defined_tokens_are_whole() -> None:
    tokenizer = build_tokenizer(metadata(), HERE)
    assert tokens_of(tokenizer, "<|start|>hello<tool><|end|>") == [START, "hello", "<tool>", END]
    assert set(tokenizer.all_special_ids) == {0, 1}
    assert len(tokenizer) == 265


def test_digits_are_cut_as_the_file_says() -> None:
    assert tokens_of(build_tokenizer(metadata(pre="smollm"), HERE), "1212") == list("1212")
    for whole in ("gpt-2", "llama-bpe", None):
        tokenizer = build_tokenizer(metadata(pre=whole, add_bos_token=False), HERE)
        assert "12" in tokens_of(tokenizer, "1212")
    assert tokens_of(build_tokenizer(metadata(pre="qwen2"), HERE), "1212") == list("1212")


def test_a_leading_token_is_added_where_the_file_says_so() -> None:
    assert tokens_of(build_tokenizer(metadata(add_bos_token=True), HERE), "hello")[0] == START
    assert tokens_of(build_tokenizer(metadata(add_bos_token=False), HERE), "hello") == ["hello"]
    assert tokens_of(build_tokenizer(metadata(pre="llama-bpe"), HERE), "hello")[0] == START


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pre": "smolm"}, r"no pre-tokenizer named 'smolm' \(did you mean 'smollm'\?\)"),
        ({"tokens": None}, "this GGUF file has no tokenizer"),
        ({"token_type": [1]}, "1 token types for 266 tokens"),
        ({"eos_token_id": 266}, r"tokenizer\.ggml\.eos_token_id is 266, outside its 266 tokens"),
        ({"eot_token_id": -1}, r"tokenizer\.ggml\.eot_token_id is -1, outside its 266 tokens"),
        ({"eos_token_id": "<|end|>"}, r"tokenizer\.ggml\.eos_token_id: not of the type"),
        ({"eot_token_id": "<|end|>"}, r"tokenizer\.ggml\.eot_token_id: not of the type"),
        ({"bos_token_id": 1.5}, r"tokenizer\.ggml\.bos_token_id: not of the type"),
        ({"padding_token_id": True}, r"tokenizer\.ggml\.padding_token_id: not of the type"),
        ({"pre": 5}, r"tokenizer\.ggml\.pre: not of the type"),
        ({"pre": ["smollm"]}, r"tokenizer\.ggml\.pre: not of the type"),
        ({"model": 5}, r"tokenizer\.ggml\.model: not of the type"),
        ({"tokens": "abc"}, r"tokenizer\.ggml\.tokens: not of the type"),
        ({"token_type": ["1"]}, r"tokenizer\.ggml\.token_type: not of the type"),
        ({"merges": [5]}, r"tokenizer\.ggml\.merges: not of the type"),
        ({"merges": ["h e", "no space"]}, "merge 'no space' names no known tokens"),
    ],
)
def test_what_cannot_be_rebuilt_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(PairError, match=message):
        build_tokenizer(metadata(**changes), HERE)


def test_a_vocabulary_that_loses_text_is_refused() -> None:
    tokens = metadata()["tokenizer.ggml.tokens"]
    tokens[tokens.index("0")] = "lost"
    with pytest.raises(PairError, match=r"cannot be rebuilt: .* comes back as"):
        build_tokenizer(metadata(tokens=tokens), HERE)


def test_a_sentencepiece_vocabulary_is_read_too(tmp_path: Path) -> None:
    path = write_sentencepiece_gguf(tmp_path / "m.gguf")
    tokenizer = build_tokenizer(read_metadata(path), path)
    assert tokens_of(tokenizer, "hello hello")[:2] == ["<s>", "\u2581hello"]
    assert (tokenizer.bos_token, tokenizer.eos_token) == ("<s>", "</s>")
    for text in TEXTS[:3]:
        assert tokenizer.decode(tokenizer(text)["input_ids"], skip_special_tokens=True) == text
