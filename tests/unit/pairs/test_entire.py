"""Tensors that a model does not take, or has no stored one for."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import Qwen3NextForCausalLM

from equivcheck.core.errors import PairError
from equivcheck.pairs.entire import left_out, refuse_partial
from equivcheck.pairs.load import LoadedPair, load_pair
from tests.unit.pairs.make import make_model, make_tokenizer, write_model

LAYER = "model.layers.0.self_attn"
Tensors = dict[str, torch.Tensor]


def load(folder: Path) -> LoadedPair:
    return load_pair(str(folder), dtype=torch.float32, device="cpu")


def edit(folder: Path, change: Callable[[Tensors], None]) -> Path:
    path = folder / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file({name: each.clone() for name, each in tensors.items()}, path, {"format": "pt"})
    return folder


def deny_biases(tensors: Tensors) -> None:
    for name in ("q", "k", "v"):
        tensors[f"{LAYER}.{name}_proj.bias"] = torch.ones(32 if name == "q" else 16)


def widen_norm(tensors: Tensors) -> None:
    tensors["model.norm.weight"] = torch.ones(48)


def store_head(tensors: Tensors) -> None:
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()


def store_another_head(tensors: Tensors) -> None:
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"] + 1


def add_layer(tensors: Tensors) -> None:
    last = {name: each for name, each in tensors.items() if ".layers.1." in name}
    tensors |= {name.replace(".1.", ".2."): each for name, each in last.items()}


def store_frequencies(tensors: Tensors) -> None:
    for layer in range(2):
        tensors[f"model.layers.{layer}.self_attn.rotary_emb.inv_freq"] = torch.ones(4)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (deny_biases, rf"hold 3 tensors, the first {LAYER}\.k_proj\.bias, that no part of the"),
        (widen_norm, r"hold 1 tensors, the first model\.norm\.weight, of another shape than its"),
        (store_another_head, r"ties lm_head\.weight to model\.embed_tokens\.weight, but both are"),
    ],
)
def test_what_a_model_cannot_take_is_refused(
    tmp_path: Path, change: Callable[[Tensors], None], problem: str
) -> None:
    folder = edit(write_model(tmp_path / "m"), change)
    with pytest.raises(PairError, match=problem):
        load(folder)


def test_a_tied_head_may_be_stored(tmp_path: Path) -> None:
    pair = load(edit(write_model(tmp_path / "m"), store_head))
    target: Any = pair.target
    assert pair.warnings == ()
    assert target.lm_head.weight is target.model.embed_tokens.weight


def test_an_untied_head_may_differ(tmp_path: Path) -> None:
    make_model(rows=264, tie_word_embeddings=False).save_pretrained(tmp_path)
    make_tokenizer().save_pretrained(tmp_path)
    assert load(tmp_path).warnings == ()


def test_what_transformers_leaves_out_is_said(tmp_path: Path) -> None:
    folder = edit(write_model(tmp_path / "m"), store_frequencies)
    assert load(folder).warnings == (
        f"{folder}: 2 stored tensors are no part of the model that transformers builds, the first "
        f"{LAYER}.rotary_emb.inv_freq: they are left out",
    )


@pytest.mark.parametrize("ahead", [1, 0])
def test_layers_that_predict_several_tokens_are_left_out_and_said(
    tmp_path: Path, ahead: int
) -> None:
    folder = edit(write_model(tmp_path / "m"), add_layer)
    config = json.loads((folder / "config.json").read_bytes())
    config["num_nextn_predict_layers"] = ahead
    (folder / "config.json").write_text(json.dumps(config))
    if not ahead:
        with pytest.raises(PairError, match=r"hold 9 tensors, the first model\.layers\.2\."):
            load(folder)
        return
    (note,) = load(folder).warnings
    assert note.startswith(f"{folder}: 9 stored tensors are no part of the model")


def test_an_architectures_own_patterns_are_looked_for(tmp_path: Path) -> None:
    class Model:
        config = None
        _keys_to_ignore_on_load_unexpected = Qwen3NextForCausalLM._keys_to_ignore_on_load_unexpected

        @staticmethod
        def state_dict() -> Tensors:
            return {"model.norm.weight": torch.ones(1)}

    save_file(
        {"model.norm.weight": torch.ones(1), "mtp.norm.weight": torch.ones(1)},
        tmp_path / "model.safetensors",
    )
    model: Any = Model()
    (note,) = left_out(model, tmp_path, label="m")
    assert note.startswith("m: 1 stored tensors are no part of the model")
    assert "mtp.norm.weight" in note


def test_transformers_own_errors_are_passed_on() -> None:
    report = dict.fromkeys(("missing_keys", "unexpected_keys", "mismatched_keys"), ())
    refuse_partial({**report, "error_msgs": []}, label="m")
    with pytest.raises(PairError, match="m cannot be loaded: size of a"):
        refuse_partial({**report, "error_msgs": ["size of a\nb"]}, label="m")
