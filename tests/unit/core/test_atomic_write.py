"""Files are written whole or not at all, and a system's refusal is said in a sentence."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from equivcheck.core.atomic_write import replace
from equivcheck.core.errors import EquivcheckError


def test_text_and_bytes_take_the_place_of_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "routes.json"
    replace(path, "é\n")
    assert path.read_bytes() == "é\n".encode()
    replace(path, b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff"
    assert [each.name for each in tmp_path.iterdir()] == ["routes.json"]


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "scores"
    replace(path, "old")

    def full(file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(EquivcheckError, match="scores: cannot be written: No space left"):
        replace(path, "new", durable=True)
    assert path.read_text(encoding="utf-8") == "old"


def test_what_comes_just_before_finds_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    replace(path, "old")
    seen: list[str] = []
    replace(path, "new", just_before=lambda: seen.append(path.read_text(encoding="utf-8")))
    assert seen == ["old"]
    assert path.read_text(encoding="utf-8") == "new"


def test_a_folder_is_not_replaced(tmp_path: Path) -> None:
    with pytest.raises(EquivcheckError, match="cannot be written: a folder stands there"):
        replace(tmp_path, "text")
