"""A pair's files, for engines that load weights by themselves."""

from __future__ import annotations

import json

import pytest
import torch

from equivcheck import PairError, load_pair, locate_pair


def test_they_say_what_the_loaded_pair_says() -> None:
    files = locate_pair("tiny")
    loaded = load_pair("tiny", dtype=torch.float32, device="cpu")
    assert files.eos_token_ids == loaded.eos_token_ids
    assert files.vocab_size == loaded.vocab_size
    assert files.tokenizer("def f").input_ids == loaded.tokenizer("def f").input_ids
    assert files.draft is not None
    for folder in (files.target, files.draft):
        assert json.loads((folder / "config.json").read_text())["vocab_size"] == files.vocab_size
        assert (folder / "model.safetensors").is_file()


def test_a_model_that_is_made_in_memory_has_no_folder() -> None:
    with pytest.raises(PairError, match=r"rounded to 3 bits: made in memory"):
        locate_pair("tiny:3bit")
