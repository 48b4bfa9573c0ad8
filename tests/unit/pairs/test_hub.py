"""Every way the hub can fail, without the hub: its client raises what it would raise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import huggingface_hub
import pytest
from huggingface_hub import errors

from equivcheck.core.errors import PairError
from equivcheck.pairs.hub import UNWANTED, WANTED, fetch_snapshot
from equivcheck.pairs.sources import ModelSource

SOURCE = ModelSource(kind="hub", location="org/model", revision="main")


def answer(status: int) -> httpx.Response:
    return httpx.Response(status, request=httpx.Request("GET", "https://hub.invalid/org/model"))


def failing(error: Exception) -> Callable[..., str]:
    def download(*_: Any, **__: Any) -> str:
        raise error

    return download


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (errors.GatedRepoError("x", response=answer(403)), "only to users who accepted its terms"),
        (errors.RevisionNotFoundError("x", response=answer(404)), "but not this revision"),
        (errors.RepositoryNotFoundError("x", response=answer(404)), "no such model on the hub"),
        (errors.LocalEntryNotFoundError("x"), "the hub cannot be reached"),
        (errors.OfflineModeIsEnabled("x"), "the hub cannot be reached"),
        (httpx.ConnectTimeout("x"), "the hub cannot be reached"),
        (errors.HfHubHTTPError("\nbusy\nlater", response=answer(503)), "the hub refused: busy"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_a_failure_is_one_clear_line(
    monkeypatch: pytest.MonkeyPatch, error: Exception, message: str
) -> None:
    monkeypatch.setattr(huggingface_hub, "snapshot_download", failing(error))
    with pytest.raises(PairError) as refused:
        fetch_snapshot(SOURCE)
    text = str(refused.value)
    assert text.startswith("org/model@main: ")
    assert message in text
    assert "\n" not in text


def test_only_text_and_safetensors_are_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "model.safetensors").touch()
    asked: dict[str, Any] = {}

    def download(name: str, **options: Any) -> str:
        asked.update(options, name=name)
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert fetch_snapshot(SOURCE) == tmp_path
    assert asked == {
        "name": "org/model",
        "revision": "main",
        "allow_patterns": WANTED,
        "ignore_patterns": UNWANTED,
    }
    assert not any(pattern.endswith((".bin", ".pt", ".py")) for pattern in WANTED)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["config.json", "pytorch_model.bin"], "only a pickle checkpoint (pytorch_model.bin)"),
        (["README.md"], "has no weights: no *.safetensors among its 1 files"),
    ],
)
def test_a_model_without_safetensors_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, names: list[str], message: str
) -> None:
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: str(tmp_path))
    monkeypatch.setattr(huggingface_hub.HfApi, "list_repo_files", lambda *_, **__: names)
    with pytest.raises(PairError) as refused:
        fetch_snapshot(SOURCE)
    assert message in str(refused.value)
