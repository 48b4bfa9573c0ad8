from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from equivcheck.core.errors import PairError
from equivcheck.pairs.locate import locate
from equivcheck.pairs.sources import ModelSource
from tests.unit.pairs.make import write_model


def folder(path: Path) -> ModelSource:
    return ModelSource(kind="folder", location=str(path))


def write_config(path: Path, **config: object) -> Path:
    path.mkdir(exist_ok=True)
    (path / "config.json").write_text(json.dumps(config))
    return path


def test_a_good_folder_is_its_own_place(tmp_path: Path) -> None:
    write_model(tmp_path / "m")
    assert locate(folder(tmp_path / "m")) == tmp_path / "m"


class Exploding:
    def __reduce__(self) -> tuple[object, ...]:
        return (os.mkdir, ("exploded",))


def test_a_pickle_checkpoint_is_refused_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.chdir(tmp_path)
    write_model(tmp_path / "m")
    (tmp_path / "m" / "model.safetensors").unlink()
    torch.save(Exploding(), tmp_path / "m" / "pytorch_model.bin")
    with pytest.raises(PairError) as refused:
        locate(folder(tmp_path / "m"))
    message = str(refused.value)
    assert "has only a pickle checkpoint (pytorch_model.bin): reading one runs any code" in message
    assert "save_pretrained(NEW_FOLDER)" in message
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_type": "t5", "is_encoder_decoder": True}, "t5 is an encoder-decoder"),
        ({"model_type": "vit"}, "transformers has none for model_type 'vit'"),
        ({"model_type": "own", "auto_map": {}}, "needs code of its own to be loaded"),
        ({}, "transformers has none for model_type 'None'"),
        (
            {"model_type": "llama", "architectures": ["LlamaForSequenceClassification"]},
            "its config names LlamaForSequenceClassification",
        ),
        (
            {"model_type": "bert", "architectures": ["BertForMaskedLM"]},
            "its config names BertForMaskedLM",
        ),
    ],
)
def test_other_kinds_of_model_are_refused(
    tmp_path: Path, config: dict[str, object], message: str
) -> None:
    write_config(tmp_path / "m", **config)
    with pytest.raises(PairError) as refused:
        locate(folder(tmp_path / "m"))
    assert message in str(refused.value)


def test_a_folder_without_weights_says_where_it_looked(tmp_path: Path) -> None:
    write_config(tmp_path / "m", model_type="llama")
    with pytest.raises(PairError, match=rf"no \*\.safetensors in {tmp_path}/m"):
        locate(folder(tmp_path / "m"))


def test_a_folder_of_gguf_files_points_at_the_first(tmp_path: Path) -> None:
    (tmp_path / "model.Q4.gguf").touch()
    with pytest.raises(PairError, match=r"no config\.json .* the file .*model\.Q4\.gguf\?"):
        locate(folder(tmp_path))


@pytest.mark.parametrize(
    ("text", "message"), [("{", "not valid JSON"), ("[]", "not a JSON object")]
)
def test_a_broken_config_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(PairError, match=rf"config\.json: {message}"):
        locate(folder(tmp_path))


def test_a_vanished_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(PairError, match="gone: no such folder"):
        locate(folder(tmp_path / "gone"))
