from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from equivcheck.core.cache import VARIABLE
from equivcheck.core.errors import PairError
from equivcheck.pairs.gguf import dequantised
from equivcheck.pairs.load import load_pair
from tests.unit.pairs.make import make_model, vocabulary, write_gguf

ROWS = 272
"""Eight more than there are tokens."""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def model(hidden: int = 64) -> Any:
    return make_model(rows=ROWS, hidden=hidden).eval()


def logits(of: Any) -> torch.Tensor:
    with torch.inference_mode():
        found: torch.Tensor = of(torch.arange(20)[None]).logits
    return found


def test_unquantised_weights_come_back_bit_for_bit(tmp_path: Path) -> None:
    original = model()
    path = write_gguf(tmp_path / "m.gguf", original)
    pair = load_pair(str(path), dtype=torch.float32, device="cpu")
    assert torch.equal(logits(original), logits(pair.target))
    assert (pair.eos_token_ids, pair.vocab_size) == ((0,), ROWS)
    assert pair.digests["target"].startswith(f"{path} sha256:")


def test_quantised_weights_come_back_rounded(tmp_path: Path) -> None:
    original = model()
    path = write_gguf(tmp_path / "m.gguf", original, quantised=True)
    found = load_pair(str(path), dtype=torch.float32, device="cpu").target
    assert not torch.equal(logits(original), logits(found))
    torch.testing.assert_close(logits(found), logits(original), atol=0.02, rtol=0)
    # What the block format stores: every 32 weights are multiples of one half-precision scale.
    block = found.state_dict()["model.layers.0.mlp.up_proj.weight"][0, :32]
    steps = block / (block.abs().max() / 127)
    torch.testing.assert_close(steps, steps.round(), atol=0.02, rtol=0)


def test_a_file_is_converted_once_wherever_it_lies(tmp_path: Path, cache: Path) -> None:
    path = write_gguf(tmp_path / "m.gguf", model())
    folder = dequantised(path)
    written = (folder / "model.safetensors").stat().st_mtime_ns
    moved = path.rename(tmp_path / "moved.gguf")
    assert dequantised(moved) == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == written
    assert folder.is_relative_to(cache)
    assert "quantization_config" not in json.loads((folder / "config.json").read_bytes())


def test_what_the_file_says_of_itself_is_kept(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "m.gguf", model(), metadata={"general.license": "mit"})
    origin = json.loads((dequantised(path) / "gguf.json").read_bytes())
    assert origin == {
        "file": "m.gguf",
        "quantised": None,
        "architecture": "llama",
        "license": "mit",
    }


def test_padding_rows_are_no_tokens(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "m.gguf", model())
    tokenizer = load_pair(str(path), dtype=torch.float32, device="cpu").tokenizer
    assert len(tokenizer) == len(vocabulary()) == ROWS - 8


def test_end_of_turn_ends_a_text_too(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "m.gguf", model(), metadata={"tokenizer.ggml.eot_token_id": 1})
    assert load_pair(str(path), dtype=torch.float32, device="cpu").eos_token_ids == (0, 1)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "no readable GGUF file"), (b"x" * 100, "no readable GGUF file: GGUF magic invalid")],
)
def test_what_is_no_gguf_says_so(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(content)
    with pytest.raises(PairError, match=message):
        dequantised(path)


@pytest.mark.parametrize("kept", [0.001, 0.01, 0.1, 0.5, 0.9])
def test_a_cut_off_file_says_so_and_leaves_nothing(
    tmp_path: Path, cache: Path, kept: float
) -> None:
    path = write_gguf(tmp_path / "m.gguf", model())
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    with pytest.raises(PairError, match=r"m\.gguf"):
        dequantised(path)
    assert not [found for found in cache.rglob("*") if found.suffix != ".lock" and found.is_file()]


def test_scaled_rotary_positions_are_refused(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "m.gguf", model(), metadata={"llama.rope.scaling.type": "yarn"})
    with pytest.raises(PairError, match="scales its rotary positions"):
        dequantised(path)


def test_a_vanished_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(PairError, match=r"gone\.gguf: no such GGUF file"):
        dequantised(tmp_path / "gone.gguf")
