from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import pytest
import torch

from equivcheck.core.errors import PairError
from equivcheck.pairs.memory import bytes_available, bytes_needed, memory_warnings
from equivcheck.pairs.sources import ModelSource, PairSource
from equivcheck.pairs.suitability import REPEATED, size_warnings
from equivcheck.pairs.weights import read_weights, weights_sha256
from tests.unit.pairs.make import make_model, write_model


def folder(path: Path) -> ModelSource:
    return ModelSource(kind="folder", location=str(path))


WORD = '{"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}'


def header(text: str) -> bytes:
    """A safetensors file with that header and four bytes of data."""
    return len(text).to_bytes(8, "little") + text.encode() + bytes(4)


def test_headers_tell_size_and_dtype(tmp_path: Path) -> None:
    model = make_model(rows=264).to(torch.bfloat16)
    model.save_pretrained(tmp_path)
    found = read_weights(tmp_path)
    assert found.parameters == sum(parameter.numel() for parameter in model.parameters())
    assert found.dtypes == ("BF16",)
    assert found.size == (tmp_path / "model.safetensors").stat().st_size


def test_shards_count_together_and_strays_do_not(tmp_path: Path) -> None:
    model = make_model(rows=264)
    model.save_pretrained(tmp_path / "one")
    model.save_pretrained(tmp_path / "many", max_shard_size="20KB")
    shards = len(list((tmp_path / "many").glob("*.safetensors")))
    assert shards > 2
    shutil.copy(
        tmp_path / "one" / "model.safetensors", tmp_path / "many" / "consolidated.safetensors"
    )
    whole, parts = read_weights(tmp_path / "one"), read_weights(tmp_path / "many")
    assert whole.parameters == parts.parameters
    assert weights_sha256(tmp_path / "one") != weights_sha256(tmp_path / "many")


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    make_model(rows=264).save_pretrained(tmp_path, max_shard_size="20KB")
    index = json.loads((tmp_path / "model.safetensors.index.json").read_bytes())
    missing = min(index["weight_map"].values())
    (tmp_path / missing).unlink()
    with pytest.raises(PairError, match=f"{missing}: the index names this file; it is missing"):
        read_weights(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff" * 64,
        b"\x02" + bytes(7) + b"[]",
        b"\x27" + bytes(7) + b'{"a": {"dtype": "F32", "shape": ["x"]}}',
        header('{"a": {"dtype": "F32", "shape": [1099511627776], "data_offsets": [0, 4]}}'),
        header('{"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}'),
        header('{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}'),
        header(f'{{"a": {WORD}, "a": {WORD}}}'),
    ],
)
def test_what_is_no_safetensors_file_says_so(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(PairError, match=r"model\.safetensors: no readable safetensors file"):
        read_weights(tmp_path)


@pytest.mark.parametrize(
    ("hidden", "message"),
    [
        (32, None),
        (48, r"has 2\.5 times the draft's .*: drafting costs nearly as much as it saves"),
        (4, r"has 100\.2 times the draft's .*: so small a draft is seldom right"),
    ],
)
def test_sizes_out_of_proportion_are_warned_of(
    tmp_path: Path, hidden: int, message: str | None
) -> None:
    write_model(tmp_path / "target", hidden=80)
    write_model(tmp_path / "draft", hidden=hidden)
    found = size_warnings(folder(tmp_path / "target"), folder(tmp_path / "draft"))
    assert len(found) == (message is not None)
    if message is not None:
        assert re.search(message, found[0])


def test_the_same_weights_in_another_folder_are_noticed(tmp_path: Path) -> None:
    write_model(tmp_path / "target")
    shutil.copytree(tmp_path / "target", tmp_path / "copy")
    found = size_warnings(folder(tmp_path / "target"), folder(tmp_path / "copy"))
    assert found == (REPEATED,)


def test_memory_is_weights_and_cache_in_the_runs_dtype(tmp_path: Path) -> None:
    write_model(tmp_path / "m", hidden=32)
    parameters = read_weights(tmp_path / "m").parameters
    # 2 (keys, values) x 2 layers x 2 heads of 8 x 8192 positions.
    expected = parameters + 2 * 2 * 2 * 8 * 8192
    assert bytes_needed(folder(tmp_path / "m"), dtype=torch.bfloat16) == 2 * expected
    assert bytes_needed(folder(tmp_path / "m"), dtype=torch.float32) == 4 * expected


def test_memory_that_does_not_suffice_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = folder(write_model(tmp_path / "m"))
    pair = PairSource(name="m", target=source, draft=source, tokenizer=source)
    cpu = torch.device("cpu")
    assert memory_warnings(pair, dtype=torch.float32, device=cpu) == ()
    monkeypatch.setattr("equivcheck.pairs.memory.bytes_available", lambda device: 2**20)
    (found,) = memory_warnings(pair, dtype=torch.float32, device=cpu)
    assert found.startswith("memory may not hold this pair: weights and key-value cache in float32")
    assert "0.0 GiB are free on cpu" in found


def test_free_memory_is_a_part_of_all_memory() -> None:
    free = bytes_available(torch.device("cpu"))
    assert free is not None
    assert 0 < free <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert bytes_available(torch.device("meta")) is None
