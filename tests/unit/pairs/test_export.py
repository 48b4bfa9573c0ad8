from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, Qwen2ForCausalLM

from equivcheck.cli.main import run
from equivcheck.core.cache import VARIABLE
from equivcheck.core.errors import PairError
from equivcheck.pairs.export import LAYER_IDS, LAYOUTS, export_pair
from tests.unit.pairs.make import make_model, write_model
from training.heads import TAPPED, EagleHead, MtpHead
from training.save_heads import save_eagle, save_mtp


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache"))


@pytest.fixture
def spec(tmp_path: Path) -> str:
    """A pair with both heads beside its target."""
    target = write_model(tmp_path / "pair" / "target", hidden=64)
    draft = write_model(tmp_path / "pair" / "draft", seed=1)
    model = make_model(rows=264, hidden=64)
    drafted = torch.arange(0, 264, 4)
    save_eagle(EagleHead(model.config, drafted=drafted), target.parent / "eagle3", target=model)
    save_mtp(MtpHead(model.config), target.parent / "mtp", target=model)
    return f"{target}+{draft}"


def config(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "config.json").read_bytes())
    return found


def logits(model: Any) -> torch.Tensor:
    with torch.inference_mode():
        found: torch.Tensor = model.eval()(torch.arange(20)[None]).logits
    return found


def test_each_engine_gets_what_it_can_load(spec: str, tmp_path: Path) -> None:
    roles = {
        "hf": {"target", "draft", "eagle3", "mtp"},
        "vllm": {"target", "draft", "eagle3", "mtp"},
        "sglang": {"target", "draft", "eagle3"},
        "gguf": {"target", "draft"},
    }
    for layout in LAYOUTS:
        written = export_pair(spec, tmp_path / layout, layout=layout)
        assert set(written) == roles[layout]
        words = (tmp_path / layout / "README.md").read_text()
        assert all(f"`{path.name}`" in words for path in written.values())


def test_stored_weights_are_copied_bit_for_bit(spec: str, tmp_path: Path) -> None:
    written = export_pair(spec, tmp_path / "out", layout="vllm")
    origin = Path(spec.split("+")[0]).parent
    for role in ("target", "draft", "eagle3"):
        stored = (origin / role / "model.safetensors").read_bytes()
        assert (written[role] / "model.safetensors").read_bytes() == stored
    assert config(written["eagle3"])["eagle_config"][LAYER_IDS] == list(TAPPED)


def test_the_target_with_its_mtp_head_is_the_same_model(spec: str, tmp_path: Path) -> None:
    folder = export_pair(spec, tmp_path / "out", layout="vllm")["mtp"]
    told = config(folder)
    assert (told["architectures"], told["num_nextn_predict_layers"]) == (["MiMoForCausalLM"], 2)
    kind: Any = Qwen2ForCausalLM
    as_qwen = kind.from_pretrained(folder, dtype=torch.float32)
    target = AutoModelForCausalLM.from_pretrained(spec.split("+")[0], dtype=torch.float32)
    torch.testing.assert_close(logits(as_qwen), logits(target), rtol=0, atol=1e-6)
    names = set(load_file(folder / "model.safetensors"))
    assert {f"model.mtp_layers.{depth}.input_proj.weight" for depth in (0, 1)} <= names
    assert {f"model.mtp_layers.{depth}.self_attn.q_proj.bias" for depth in (0, 1)} <= names


def test_sglang_counts_tapped_layers_from_their_outputs(spec: str, tmp_path: Path) -> None:
    folder = export_pair(spec, tmp_path / "out", layout="sglang")["eagle3"]
    assert config(folder)["eagle_config"][LAYER_IDS] == [place - 1 for place in TAPPED]


def test_a_full_folder_and_a_pair_that_is_made_are_refused(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "config.json").write_text("{}")
    with pytest.raises(PairError, match="not empty"):
        export_pair("tiny", tmp_path / "full", layout="hf")
    with pytest.raises(PairError, match="only stored models"):
        export_pair("tiny@15m", tmp_path / "out", layout="hf")


def test_the_command_exports_and_still_shows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run(["pairs", "export", "tiny", "--to", str(out), "--format", "hf", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["target"] == str(out / "target")
    assert run(["pairs", "export", "tiny", "--to", str(out), "--format", "vllm"]) == 2
    assert run(["pairs", "tiny", "--json"]) == 0
    assert run(["pairs", "show", "tiny", "--json"]) == 0
    one, two = capsys.readouterr().out.strip().splitlines()[-2:]
    assert one == two
