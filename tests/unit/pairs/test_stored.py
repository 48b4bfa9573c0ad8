"""Configs that describe what the files beside them cannot hold, and how weights are stored."""

from __future__ import annotations

import json
import os
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from equivcheck.core.errors import PairError
from equivcheck.pairs.describe import describe_pair
from equivcheck.pairs.files import locate_pair
from equivcheck.pairs.load import load_pair
from tests.unit.pairs.make import make_model, make_tokenizer, write_model

METHOD = {"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [32, 32]}


def configure(folder: Path, **changes: Any) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | changes))
    return folder


def refusals(folder: Path) -> list[str]:
    """Of everything that reads a pair."""
    found = []
    for read in (
        describe_pair,
        locate_pair,
        lambda spec: load_pair(spec, dtype=torch.float32, device="cpu"),
    ):
        with pytest.raises(PairError) as refused:
            read(str(folder))
        found.append(str(refused.value))
    return found


def write_float8(folder: Path, *, scale: str | None) -> Path:
    """A model whose matrices are float8, each with a scale of that name, or None."""
    write_model(folder)
    tensors = load_file(folder / "model.safetensors")
    for name in [name for name in tensors if name.endswith("_proj.weight")]:
        tensors[name] = tensors[name].to(torch.float8_e4m3fn)
        if scale:
            blocks = [-(-size // 32) for size in tensors[name].shape]
            tensors[name.removesuffix("weight") + scale] = torch.ones(blocks)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return folder


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"num_hidden_layers": 10**6}, "num_hidden_layers: 1000000, but only 20 tensors are"),
        ({"text_config": {"n_layers": 21}}, "n_layers: 21, but only 20 tensors are stored"),
        ({"vocab_size": 2**31}, r"vocab_size: 2147483648, more than the weights' \d+ bytes can"),
        ({"vocab_size": 100_000}, "vocab_size x hidden_size: 3200000, more than the weights'"),
        ({"intermediate_size": 2**40}, "intermediate_size: 1099511627776, more than"),
    ],
)
def test_sizes_beyond_the_files_are_refused_at_once(
    tmp_path: Path, changes: dict[str, Any], problem: str
) -> None:
    folder = configure(write_model(tmp_path / "m"), **changes)
    for told in refusals(folder):
        assert told.startswith(f"{folder / 'config.json'}: {problem.split(',')[0]}")
    tracemalloc.start()
    with pytest.raises(PairError, match=problem):
        load_pair(str(folder), dtype=torch.float32, device="cpu")
    assert tracemalloc.get_traced_memory()[1] < 2**24
    tracemalloc.stop()


def test_a_model_that_its_weights_cannot_be_is_not_built(tmp_path: Path) -> None:
    folder = configure(write_model(tmp_path / "m"), intermediate_size=60_000)
    with pytest.raises(PairError, match=r"m cannot be loaded: its config describes 115\d+ numbers"):
        load_pair(str(folder), dtype=torch.float32, device="cpu")


@pytest.mark.parametrize("method", [METHOD, None])
def test_float8_without_scales_is_refused(tmp_path: Path, method: object) -> None:
    folder = write_float8(tmp_path / "m", scale=None)
    if method:
        configure(folder, quantization_config=method)
    for told in refusals(folder):
        assert told.startswith(f"{folder}: 14 float8 weights are stored without their scales")


def test_quantised_weights_are_said(tmp_path: Path) -> None:
    folder = write_float8(tmp_path / "m", scale="weight_scale_inv")
    configure(folder, quantization_config=METHOD)
    note = f"{folder} stores its weights quantised (fp8): what is tested is what "
    assert [text[: len(note)] for text in describe_pair(str(folder))["warnings"]] == [note]
    pair = load_pair(str(folder), dtype=torch.float32, device="cpu")
    assert [text[: len(note)] for text in pair.warnings] == [note]


@pytest.mark.parametrize("name", ["../other.safetensors", "/etc/hostname", "a/../../b"])
def test_an_index_names_files_of_its_folder_only(tmp_path: Path, name: str) -> None:
    folder = write_model(tmp_path / "m")
    (folder / "model.safetensors").rename(folder / "kept.safetensors")
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"model.norm.weight": name}}))
    for told in refusals(folder):
        assert told == (f"{index}: weight_map: names a file outside of the model's folder: {name}")


def test_a_tensor_in_two_shards_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "m"
    make_model(rows=264).save_pretrained(folder, max_shard_size="20KB")
    make_tokenizer().save_pretrained(folder)
    shards = sorted(folder.glob("*.safetensors"))
    tensors = load_file(shards[-1])
    tensors |= {name: torch.zeros_like(each) for name, each in load_file(shards[0]).items()}
    save_file(tensors, shards[-1], {"format": "pt"})
    for told in refusals(folder):
        assert " is stored twice: which of the two is meant, no one can say" in told


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json"])
def test_a_pipe_among_the_files_is_refused_unread(tmp_path: Path, name: str) -> None:
    folder = write_model(tmp_path / "m")
    (folder / name).unlink()
    os.mkfifo(folder / name)
    for told in refusals(folder):
        assert told == f"{folder / name}: no regular file"


def test_an_adapter_is_refused(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m")
    (folder / "adapter_config.json").write_text("{}")
    for told in refusals(folder):
        assert told.startswith(f"{folder} holds an adapter (adapter_config.json), which would be")
