from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from equivcheck.cli.main import run
from equivcheck.core.cache import VARIABLE
from equivcheck.core.errors import PairError
from equivcheck.pairs.export_gguf import Precision, export_gguf
from equivcheck.pairs.load import load_pair
from equivcheck.pairs.tokenizer import load_tokenizer
from tests.unit.pairs.make import make_model, write_model


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache"))


def logits(model: torch.nn.Module) -> torch.Tensor:
    with torch.inference_mode():
        found: torch.Tensor = model(torch.arange(20)[None]).logits
    return found


def test_the_bundled_pair_comes_back_bit_for_bit(tmp_path: Path) -> None:
    files = export_gguf("tiny", tmp_path / "out")
    before = load_pair("tiny", dtype=torch.float32, device="cpu")
    after = load_pair(f"{files['target']}+{files['draft']}", dtype=torch.float32, device="cpu")
    assert before.draft is not None
    assert after.draft is not None
    assert torch.equal(logits(before.target), logits(after.target))
    assert torch.equal(logits(before.draft), logits(after.draft))
    assert after.eos_token_ids == before.eos_token_ids
    assert after.tokenizer.get_vocab() == before.tokenizer.get_vocab()
    assert set(after.tokenizer.all_special_ids) <= set(before.tokenizer.added_tokens_decoder)
    assert after.tokenizer.chat_template == before.tokenizer.chat_template


@pytest.mark.parametrize(("precision", "dtype"), [("f16", torch.float16), ("bf16", torch.bfloat16)])
def test_half_precision_rounds_the_matrices_alone(
    tmp_path: Path, precision: Precision, dtype: torch.dtype
) -> None:
    folder = write_model(tmp_path / "model", hidden=64)
    halved = export_gguf(str(folder), tmp_path / "out", precision=precision)["target"]
    exact = load_pair(str(folder), dtype=torch.float32, device="cpu").target
    rounded = load_pair(str(halved), dtype=torch.float32, device="cpu").target
    for name, weight in exact.state_dict().items():
        expected = weight.to(dtype).float() if weight.ndim == 2 else weight
        assert torch.equal(rounded.state_dict()[name], expected), name


def test_f16_says_what_does_not_fit(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model", hidden=64)
    model = make_model(rows=264, hidden=64)
    model.state_dict()["model.layers.0.mlp.up_proj.weight"][0, 0] = 1e6
    model.save_pretrained(tmp_path / "large")
    load_tokenizer(str(folder)).save_pretrained(tmp_path / "large")
    with pytest.raises(PairError, match=r"up_proj\.weight has weights that f16 cannot hold"):
        export_gguf(str(tmp_path / "large"), tmp_path / "other", precision="f16")


def test_other_models_are_refused_by_name(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    config["rope_parameters"] = {"rope_type": "linear", "factor": 2.0, "rope_theta": 10_000.0}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(PairError, match="only llama models without biases"):
        export_gguf(str(folder), tmp_path / "out")


def test_the_command_writes_both_files_and_asks_for_a_pair(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["pairs", "tiny", "--gguf", str(tmp_path / "out"), "--json"]) == 0
    files = json.loads(capsys.readouterr().out)
    assert {role: Path(path).name for role, path in files.items()} == {
        "target": "target.gguf",
        "draft": "draft.gguf",
    }
    assert all(Path(path).is_file() for path in files.values())
    assert run(["pairs", "--gguf", str(tmp_path / "other")]) == 2
    assert "needs the name of a pair" in capsys.readouterr().err
