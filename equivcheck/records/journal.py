"""Journals: files of JSON lines, each written whole as it comes.

A process killed at any moment leaves complete lines and at most one torn tail. The tail is never
read, and is cut off when the journal is resumed. Lines are sealed, as `seal.py` says; a
journal whose first line has no seal was written before there were any, and stays without.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Generic, NamedTuple, Self, TypeVar, get_args

import msgspec

from equivcheck.core.atomic_write import replace, writing
from equivcheck.core.errors import RecordsError, unknown_name
from equivcheck.core.validation import decoded, explain
from equivcheck.records.seal import START, Seal, is_sealed, seal_of, with_seal

R = TypeVar("R")
"""A union of records, told apart by their tags."""


class WholeLine(NamedTuple):
    """A complete line of a journal."""

    number: int
    """From 1."""
    start: int
    """Byte offset."""
    text: bytes
    """Its end included."""


LONGEST_LINE = 2**28
"""Bytes of a line, its end included: the manifest of a million cases takes less."""
READ_AHEAD = 2**18
"""Bytes: an answer of 250 tokens takes more than Python reads at once by itself."""


def whole_lines(path: Path) -> Iterator[WholeLine]:
    """Every complete line. A tail without an end is skipped, however long: a power cut leaves such.

    Raises:
        RecordsError: a complete line is longer than `LONGEST_LINE`.
    """
    start = 0
    with path.open("rb", buffering=READ_AHEAD) as file:
        for number in count(1):
            text = file.readline(LONGEST_LINE)
            if not text.endswith(b"\n"):
                if len(text) == LONGEST_LINE and _ends(file):
                    raise RecordsError(f"{path}:{number}: longer than {LONGEST_LINE} bytes")
                return
            yield WholeLine(number, start, text)
            start += len(text)


class SealedLine(NamedTuple):
    """A complete line whose seal was looked at."""

    number: int
    """From 1."""
    start: int
    """Byte offset."""
    text: bytes
    """Its end included."""
    seal: Seal | None
    """None in an unsealed journal."""

    @property
    def end(self) -> ResumePoint:
        """Where the next line begins."""
        return ResumePoint(self.start + len(self.text), self.seal)


def sealed_lines(path: Path) -> Iterator[SealedLine]:
    """Every complete line, checked against its seal.

    Raises:
        RecordsError: a line was changed, removed, doubled or moved after it was written; names the
            first line that does not follow from those before.
    """
    before: Seal | None = START
    for number, start, text in whole_lines(path):
        if number == 1 and not is_sealed(text):
            before = None
        if before is not None:
            before = seal_of(text, before=before)
            if before is None:
                raise RecordsError(f"{path}:{number}: breaks the seal: {_CHANGED}")
        elif is_sealed(text):
            raise RecordsError(f"{path}:{number}: sealed, but the lines before it are not")
        yield SealedLine(number, start, text, before)


_CHANGED = "this line or the one before it was changed, removed, doubled or moved"


def _ends(file: IO[bytes]) -> bool:
    """Whether the line that a file stands in has an end."""
    while part := file.readline(2**20):
        if part.endswith(b"\n"):
            return True
    return False


class ResumePoint(NamedTuple):
    """Where a journal is resumed."""

    offset: int
    """Bytes of complete lines."""
    seal: Seal | None
    """Seal of the last of these; None: the journal is unsealed."""


BEGIN = ResumePoint(0, START)


def reopen(path: Path, *, at: ResumePoint) -> IO[bytes]:
    """Open for appending with everything behind a place removed."""
    file = path.open("r+b", buffering=0)
    file.truncate(at.offset)
    file.seek(at.offset)
    return file


def write_line(file: IO[bytes], text: bytes) -> None:
    """Write a line and its end to an unbuffered file: with one system call if it can be.

    Raises:
        EquivcheckError: the system does not take it, as when a disk is full. A part of the line may
            be there, which no reader takes for one.
    """
    rest = memoryview(text + b"\n")
    with writing(Path(getattr(file, "name", "memory"))):
        while rest:
            rest = rest[file.write(rest) :]


def write_anew(path: Path, lines: Iterable[bytes]) -> None:
    """Replace a journal by these lines, whose ends are added, all at once."""
    replace(path, b"".join(line + b"\n" for line in lines))


class Late(NamedTuple):
    """Where a journal is to stand once it has begun; until then it is held in memory."""

    path: Path
    make_way: Callable[[], object] | None = None
    """Takes away what else is to go, just before what stands at `path` does."""


class JournalWriter:
    """Appends to a journal. Use as a context manager."""

    def __init__(self, place: IO[bytes] | Late, *, seal: Seal | None = START) -> None:
        """Write to an unbuffered file that stands at its end, or to one that is to begin later.

        `seal` is that of its last line; None writes on without seals.
        """
        self._seal = seal
        self._late = place if isinstance(place, Late) else None
        self._file: IO[bytes] = io.BytesIO() if isinstance(place, Late) else place

    def begin(self) -> None:
        """Let a late journal take its place; what stood there goes only once the new one is whole.

        Nothing where it has begun.

        Raises:
            EquivcheckError: it cannot be written.
        """
        if self._late is None:
            return
        assert isinstance(self._file, io.BytesIO)
        path, make_way = self._late
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            replace(path, self._file.getvalue(), just_before=make_way)
            self._file = path.open("ab", buffering=0)
        self._late = None

    @classmethod
    def reopened(cls, path: Path, *, at: ResumePoint) -> Self:
        """Go on with the journal that ends at a place; what is behind it is removed.

        Raises:
            EquivcheckError: it cannot be written.
        """
        with writing(path):
            return cls(reopen(path, at=at), seal=at.seal)

    def write(self, text: bytes) -> None:
        """Write one JSON object as a line, sealed.

        Raises:
            EquivcheckError: the file cannot be written.
        """
        seal = self._seal
        if seal is not None:
            text, seal = with_seal(text, before=seal)
        write_line(self._file, text)
        self._seal = seal

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close: what was written stays. What is over has begun, even with nothing to show."""
        if kind is None:
            self.begin()
        self.close()


class _Kind(msgspec.Struct):
    """What every line can be asked before it is read in full."""

    type: str
    schema: int | None = None


_decode_kind = msgspec.json.Decoder(_Kind).decode


def kind_of(line: bytes) -> str | None:
    """The tag of a line; None: it has none."""
    try:
        return decoded(_decode_kind, line).type
    except msgspec.DecodeError:
        return None


class LineDecoder(Generic[R]):
    """Reads the lines of one kind of journal."""

    def __init__(self, records: Any, *, schema: int) -> None:
        """Read a union of tagged `records`, whose header has to name this `schema`."""
        self._tags = [record.__struct_config__.tag for record in get_args(records)]
        self._decode = msgspec.json.Decoder(records).decode
        self._schema = schema

    def __call__(self, line: bytes, *, where: str) -> R:
        """The record of a line.

        Raises:
            RecordsError: it cannot be used; says `where` and which field.
        """
        if len(line) >= LONGEST_LINE:
            raise RecordsError(f"{where}: longer than {LONGEST_LINE} bytes")
        try:
            record: R = decoded(self._decode, line)
        except msgspec.DecodeError as error:
            self._refuse_kind(line, where=where)
            raise RecordsError(f"{where}: {explain(error, {})}") from error
        # A header of another schema may read like one of this.
        if getattr(record, "schema", self._schema) != self._schema:
            self._refuse_kind(line, where=where)
        return record

    def _refuse_kind(self, line: bytes, *, where: str) -> None:
        """Raise RecordsError where a line is of no known kind, or of another schema."""
        try:
            kind = decoded(_decode_kind, line)
        except msgspec.DecodeError as error:
            raise RecordsError(f"{where}: {explain(error, {})}") from error
        if kind.type not in self._tags:
            known = unknown_name("record type", kind.type, self._tags)
            raise RecordsError(f"{where}: type: {known}")
        if kind.type == "header" and kind.schema != self._schema:
            raise RecordsError(
                f"{where}: schema: {kind.schema}, but this equivcheck reads schema {self._schema}"
            )
