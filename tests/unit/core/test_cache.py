from __future__ import annotations

from pathlib import Path

import pytest

from equivcheck.core.cache import VARIABLE, cache_folder, file_sha256, made_once
from equivcheck.core.errors import PairError


def test_the_cache_is_where_the_variable_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "~/models")
    assert cache_folder() == Path.home() / "models"
    monkeypatch.delenv(VARIABLE)
    assert cache_folder() == Path.home() / ".cache" / "equivcheck"


def test_a_folder_is_made_once(tmp_path: Path) -> None:
    made = []

    def make(folder: Path) -> None:
        made.append(folder)
        (folder / "file").write_text("content")

    place = tmp_path / "deep" / "place"
    assert made_once(place, make) == made_once(place, make) == place
    assert (place / "file").read_text() == "content"
    assert len(made) == 1
    assert made[0] != place


def test_what_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    def make(folder: Path) -> None:
        (folder / "half").touch()
        raise PairError("broke off")

    with pytest.raises(PairError, match="broke off"):
        made_once(tmp_path / "place", make)
    assert [path for path in tmp_path.iterdir() if path.suffix != ".lock"] == []


def test_others_may_read_what_was_made(tmp_path: Path) -> None:
    def make(folder: Path) -> None:
        (folder / "file").touch(mode=0o600)

    place = made_once(tmp_path / "place", make)
    assert place.stat().st_mode & 0o777 == 0o755
    assert (place / "file").stat().st_mode & 0o777 == 0o644


def test_a_cache_that_cannot_be_written_names_the_variable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PairError, match=rf"cache cannot be written: .*{VARIABLE} names another"):
        made_once(tmp_path / "file" / "place", Path.touch)


def test_the_digest_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    # FIPS 180-2, appendix B.1.
    assert file_sha256(tmp_path / "abc") == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )
