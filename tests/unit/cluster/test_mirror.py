"""Copying a run's folder while it is written: whatever happens to it, the copy ends as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from equivcheck.cluster import mirror
from equivcheck.cluster.mirror import Original, apply, have, packed, unpack
from equivcheck.records.records_file import RECORDS_NAME


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    (tmp_path / "there").mkdir()
    return tmp_path / "there", tmp_path / "home"


def lines(*numbers: int) -> bytes:
    """Lines that each name all before them, as seals do."""
    return b"".join(b"%d %d" % (at, sum(numbers[:at])) + b"x" * 700 + b"\n" for at in numbers)


def copy(original: Original, home: Path) -> bytes:
    apply(home, news := original.news(have(home), {}))
    while news.more:
        apply(home, news := original.news(have(home), {}))
    return (home / RECORDS_NAME).read_bytes()


def test_only_what_is_new_is_sent(folders: tuple[Path, Path]) -> None:
    there, home = folders
    original, records = Original(there), there / RECORDS_NAME
    records.write_bytes(lines(1, 2))
    assert copy(original, home) == lines(1, 2)
    records.write_bytes(lines(1, 2, 3))
    news = original.news(have(home), {"generating": (1, 2)})
    assert (news.start, news.records) == (len(lines(1, 2)), lines(1, 2, 3)[news.start :])
    assert news.progress == {"generating": (1, 2)}
    assert copy(original, home) == lines(1, 2, 3)


@pytest.mark.parametrize("then", [lines(1), lines(7, 8, 9, 10), lines(1, 2, 3)[:-5] + lines(9)])
def test_a_file_that_was_cut_or_begun_anew_is_copied_anew(
    folders: tuple[Path, Path], then: bytes
) -> None:
    there, home = folders
    original = Original(there)
    (there / RECORDS_NAME).write_bytes(lines(1, 2, 3))
    copy(original, home)
    (there / RECORDS_NAME).write_bytes(then)
    assert copy(original, home) == then


def test_much_comes_in_parts(folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirror, "MOST", 100)
    there, home = folders
    (there / RECORDS_NAME).write_bytes(lines(1, 2))
    assert copy(Original(there), home) == lines(1, 2)


def test_other_files_are_sent_when_they_change_and_unfinished_ones_never(
    folders: tuple[Path, Path],
) -> None:
    there, home = folders
    original = Original(there)
    (there / "logs").mkdir()
    (there / "logs/a.log").write_text("one")
    (there / ".lock").write_text("")
    assert original.news(have(home), {}).files == {"logs/a.log": b"one"}
    assert original.news(have(home), {}).files == {}
    (there / "logs/a.log").write_text("other")
    apply(home, original.news(have(home), {}))
    assert packed(home) == {"logs/a.log": b"other"}


def test_a_copy_can_be_gone_on_with_elsewhere(folders: tuple[Path, Path]) -> None:
    there, home = folders
    (there / RECORDS_NAME).write_bytes(lines(1, 2))
    (there / "scores").write_bytes(b"s")
    apply(home, Original(there).news(have(home), {}))
    unpack(elsewhere := home.with_name("elsewhere"), packed(home))
    assert packed(elsewhere) == {RECORDS_NAME: lines(1, 2), "scores": b"s"}
