"""Copies a run's folder from one machine to another while it is written. Pure but for files.

Records grow at their end, so only what is new is sent; other files are sent whole when they change.
Each line of records carries a seal that stands for all lines before it, so the end of a copy says
whether the copy is a beginning of the original.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from equivcheck.core.atomic_write import writing
from equivcheck.records.records_file import RECORDS_NAME

TAIL = 512
"""Bytes of a copy's end, more than a seal."""
MOST = 32 * 2**20
"""Bytes of records that are sent at once."""


class Have(NamedTuple):
    """What is known of a copy of the records."""

    size: int
    tail: bytes
    """Its last bytes."""


class News(NamedTuple):
    """What a copy lacks."""

    start: int
    """Where `records` belong; what a copy has behind it is not in the original."""
    records: bytes
    files: dict[str, bytes]
    """Path in the folder to content, of other files that are new or changed."""
    progress: dict[str, tuple[int, int]]
    """What is being done to how much of it is done, and how much there is."""
    more: bool
    """Whether not all was sent."""


def have(folder: Path) -> Have:
    """What a copy holds."""
    records = folder / RECORDS_NAME
    if not records.is_file():
        return Have(0, b"")
    with records.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - TAIL))
        return Have(size, file.read())


class Original:
    """A folder that is copied to one other place."""

    def __init__(self, folder: Path) -> None:
        """Nothing was sent yet."""
        self.folder = folder
        self._sent: dict[str, tuple[int, int]] = {}

    def news(self, have: Have, progress: dict[str, tuple[int, int]]) -> News:
        """What is new to a copy."""
        start, data, more = self._records(have)
        return News(start, data, self._files(), progress, more)

    def _records(self, have: Have) -> tuple[int, bytes, bool]:
        records = self.folder / RECORDS_NAME
        if not records.is_file():
            return 0, b"", False
        with records.open("rb") as file:
            file.seek(max(0, have.size - TAIL))
            known = file.read(min(TAIL, have.size)) == have.tail
            start = have.size if known else 0
            file.seek(start)
            data = file.read(MOST)
            return start, data, bool(file.read(1))

    def _files(self) -> dict[str, bytes]:
        """Read behind the records: scores may be newer than what records say, and never older."""
        found = {}
        for path in _others(self.folder):
            # It may be replaced at any moment.
            with suppress(FileNotFoundError):
                told = path.stat()
                stamp = (told.st_mtime_ns, told.st_size)
                name = path.relative_to(self.folder).as_posix()
                if self._sent.get(name) != stamp:
                    found[name] = path.read_bytes()
                    self._sent[name] = stamp
        return found


def apply(folder: Path, news: News) -> None:
    """Add to a copy what it lacks.

    Raises:
        EquivcheckError: it cannot be written.
    """
    with writing(folder):
        unpack(folder, news.files)
        if news.records:
            with (folder / RECORDS_NAME).open("ab") as file:
                file.truncate(news.start)
                file.write(news.records)


def packed(folder: Path) -> dict[str, bytes]:
    """All files of a copy, to go on with elsewhere."""
    paths = [path for path in (folder / RECORDS_NAME,) if path.is_file()]
    paths += _others(folder)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def unpack(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files into a folder, each at once."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.part")
        part.write_bytes(content)
        part.replace(path)


def _others(folder: Path) -> list[Path]:
    """Files beside the records. Names that begin with a dot are of files that are not done."""
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != RECORDS_NAME and not path.name.startswith(".")
    ]
