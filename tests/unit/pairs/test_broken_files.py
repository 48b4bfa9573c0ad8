"""A model folder in which one file is damaged: one error that names the file and what in it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from equivcheck.cli import main as cli
from equivcheck.core.errors import PairError
from equivcheck.pairs.load import load_pair
from tests.unit.pairs.make import write_model

GENERATION, CONFIG = "generation_config.json", "config.json"
INDEX, TOKENIZER = "model.safetensors.index.json", "tokenizer.json"
NO_ID = "eos_token_id: neither an id nor a list of ids"
NO_FILES = "weight_map: names no files"
NO_NAMES = "architectures: not a list of names"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("models") / "sound")


@pytest.fixture
def model(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "m"))


def refusals(folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    """Of the verb that describes, and of loading."""
    assert cli.run(["pairs", str(folder)]) == 2
    described = capsys.readouterr().err
    with pytest.raises(PairError) as refused:
        load_pair(str(folder), dtype=torch.float32, device="cpu")
    return described, str(refused.value)


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        (GENERATION, "{bad", "not valid JSON: "),
        (GENERATION, "[1]", "not a JSON object"),
        (GENERATION, '{"eos_token_id": "</s>"}', NO_ID),
        (GENERATION, '{"eos_token_id": [[1]]}', NO_ID),
        (GENERATION, '{"eos_token_id": true}', NO_ID),
        (GENERATION, '{"eos_token_id": 1.0}', NO_ID),
        (INDEX, "{bad", "not valid JSON: "),
        (INDEX, "{}", NO_FILES),
        (INDEX, '{"weight_map": {}}', NO_FILES),
        (INDEX, '{"weight_map": ["a"]}', NO_FILES),
        (INDEX, '{"weight_map": {"a": 1}}', NO_FILES),
        (CONFIG, "{bad", "not valid JSON: "),
        pytest.param(CONFIG, "[" * 100_000, "not valid JSON: ", id="nested"),
    ],
)
def test_a_damaged_file_is_named(
    model: Path, name: str, text: str, problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if name == INDEX:
        (model / "model.safetensors").rename(model / "other.safetensors")
    (model / name).write_text(text)
    for told in refusals(model, capsys):
        assert told.removeprefix("equivcheck: ").startswith(f"{model / name}: {problem}")


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("architectures", 5, NO_NAMES),
        ("architectures", [5], NO_NAMES),
        ("architectures", "LlamaForCausalLM", NO_NAMES),
        ("vocab_size", "y", "vocab_size: no whole number from 0 up"),
        ("vocab_size", True, "vocab_size: no whole number from 0 up"),
        ("vocab_size", -1, "vocab_size: no whole number from 0 up"),
        ("num_hidden_layers", "y", "num_hidden_layers: no whole number from 0 up"),
    ],
)
def test_a_wrong_value_in_a_config_is_named(
    model: Path, key: str, value: object, problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config = json.loads((model / CONFIG).read_bytes())
    (model / CONFIG).write_text(json.dumps(config | {key: value}))
    for told in refusals(model, capsys):
        assert told.removeprefix("equivcheck: ").startswith(f"{model / CONFIG}: {problem}")


def test_a_config_without_its_vocabulary_is_not_guessed_at(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = json.loads((model / CONFIG).read_bytes())
    del config["vocab_size"]
    (model / CONFIG).write_text(json.dumps(config))
    described, refused = refusals(model, capsys)
    assert described == f"equivcheck: {model / CONFIG}: vocab_size: missing\n"
    assert refused.startswith(f"{model} cannot be loaded: ")


@pytest.mark.parametrize("text", ["{bad", "[1]", "{}", '{"added_tokens": []}'])
def test_a_broken_tokenizer_is_refused(
    model: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (model / TOKENIZER).write_text(text)
    for told in refusals(model, capsys):
        assert f"{model}: its tokenizer cannot be read: " in told
        assert "Traceback" not in told


def test_an_id_too_large_for_any_vocabulary_is_outside_it(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (model / GENERATION).write_text(f'{{"eos_token_id": {10**30}}}')
    for told in refusals(model, capsys):
        assert f"end-of-text id {10**30} is outside the vocabulary of 264" in told
