"""Read and write `records.jsonl`, the file a run lives in. What the records mean is `records.py`.

A journal of one JSON line a record. What has no verdict line is unfinished: readable, resumable,
never a pass. The file's evidence is only appended to; findings and verdict, which follow
from it, are replaced whenever the run is judged again.
"""

from __future__ import annotations

import gc
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from itertools import chain
from pathlib import Path
from typing import IO, Self

import msgspec

from equivcheck.core.atomic_write import writing
from equivcheck.core.errors import RecordsError
from equivcheck.core.findings import Finding
from equivcheck.core.foreign import RUN, what_is
from equivcheck.records.assemble import RecordLine, assemble
from equivcheck.records.journal import (
    BEGIN,
    JournalWriter,
    Late,
    LineDecoder,
    ResumePoint,
    kind_of,
    sealed_lines,
)
from equivcheck.records.records import (
    SAMPLED,
    SCHEMA,
    Evidence,
    Header,
    Record,
    RequestRecord,
    VerdictRecord,
)
from equivcheck.records.score_table_file import kept_scores
from equivcheck.records.seal import START, Seal

RECORDS_NAME = "records.jsonl"
SYNC_EVERY = 32
"""Lines between two fsyncs: a power cut, unlike a kill, may lose this many."""

_read: LineDecoder[Record] = LineDecoder(Record, schema=SCHEMA)


class RecordsWriter(JournalWriter):
    """Appends records to a run's file; close syncs to disk."""

    def __init__(self, place: IO[bytes] | Late, *, seal: Seal | None = START) -> None:
        """As for any journal; `create`, `later` and `resume` make one."""
        super().__init__(place, seal=seal)
        self._unsynced = 0

    @classmethod
    def create(cls, path: Path, header: Header) -> Self:
        """Start a new file.

        Raises:
            RecordsError: there already is one; a run is never overwritten.
            EquivcheckError: it cannot be written.
        """
        if path.exists():
            raise RecordsError(f"{path}: already exists; resume it or choose another run")
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            writer = cls(path.open("xb", buffering=0))
        writer.append(header)
        return writer

    @classmethod
    def later(cls, path: Path, header: Header, *, make_way: Callable[[], object]) -> Self:
        """Start a file with its first answer, in place of what is there, and touch none before.

        Header and requests are held back until then: a run that cannot begin, or is interrupted
        before it has anything, costs nobody the run that is there. `make_way` takes away what is in
        the way when the time has come.
        """
        writer = cls(Late(path, make_way))
        writer.append(header)
        return writer

    @classmethod
    def resume(cls, path: Path, header: Header, *, compact: bool = False) -> tuple[Self, Evidence]:
        """Go on with an interrupted file, or start it where not even its header was written.

        The torn tail and any findings and verdict are cut off; they follow from the rest.

        Raises:
            RecordsError: the file belongs to another run, and names the first field that differs.
            EquivcheckError: it cannot be written.
        """
        from equivcheck.records.same_run import refuse_other_run

        if not path.exists():
            return cls.create(path, header), Evidence(header=header, asked={}, captured={})
        evidence = interrupted_evidence(path, compact=compact)
        if evidence is None:
            writer = cls.reopened(path, at=BEGIN)
            writer.append(header)
            return writer, Evidence(header=header, asked={}, captured={})
        refuse_other_run(path, found=evidence.header, wanted=header)
        writer = cls.reopened(path, at=_end_of_evidence(path))
        return writer, msgspec.structs.replace(evidence, findings=(), sealed=None)

    def append(self, *records: Record) -> None:
        """Write each record as one line, whole or not at all.

        Raises:
            RecordsError: a record would not read back, e.g. for a number that is not finite.
            EquivcheckError: the file cannot be written.
        """
        if not all(isinstance(record, Header | RequestRecord) for record in records):
            self.begin()
        for record in records:
            self.write(_to_line(record))
            self._unsynced += 1
            if self._unsynced >= SYNC_EVERY:
                self._sync()

    def close(self) -> None:
        """Sync to disk and close."""
        self._sync()
        super().close()

    def _sync(self) -> None:
        if self._late is None:
            with writing(Path(self._file.name)):
                os.fsync(self._file.fileno())
        self._unsynced = 0


def seal(path: Path, *, findings: Iterable[Finding], sealed: VerdictRecord) -> None:
    """Write a run's findings and verdict, in place of any earlier ones.

    Judging the same evidence twice gives the same bytes. A kill in between leaves a run without a
    verdict.
    """
    with RecordsWriter.reopened(path, at=_end_of_evidence(path)) as writer:
        writer.append(*findings)
        writer.append(sealed)


def read_evidence(path: str | Path, *, scores: bool = True, compact: bool = False) -> Evidence:
    """Read a run back: from its file, or the folder that holds it.

    Args:
        path: The file, or its folder.
        scores: Whether to read the scores of its draws too, if they are still there.
        compact: Whether to hold the numbers of answers as arrays, in a sixth of the memory. They
            read the same, but are for judging: `core.packed.unpacked` makes one to write.

    Raises:
        RecordsError: there is none, a line other than a torn last one cannot be used, or the scores
            beside it are not those of its draws.
    """
    file = Path(path)
    file = file / RECORDS_NAME if file.is_dir() else file
    if not file.is_file():
        raise RecordsError(f"{file}: no such records file")
    try:
        with _uncollected() if compact else nullcontext():
            evidence = assemble(file, _lines(file), compact=compact)
    except RecordsError as error:
        told = what_is(file, instead_of=RUN, otherwise=str(error))
        raise type(error)(told) from error
    if not scores:
        return evidence
    kept = kept_scores(file.parent, evidence.scored, evidence.draws.get(SAMPLED, {}))
    return msgspec.structs.replace(evidence, scores=kept)


def interrupted_evidence(path: Path, *, compact: bool = False) -> Evidence | None:
    """What a file that may be resumed holds, without scores; None: not even a header.

    Raises:
        RecordsError: a line other than a torn last one cannot be used.
    """
    lines = _lines(path) if path.exists() else iter(())
    first = next(lines, None)
    return None if first is None else assemble(path, chain([first], lines), compact=compact)


def last_verdict(path: Path) -> VerdictRecord | None:
    """The verdict that a records file ends with; None: it has none, or is not there.

    Raises:
        RecordsError: a line breaks the seal.
        OSError: it cannot be read.
    """
    if not path.is_file():
        return None
    last = deque(sealed_lines(path), maxlen=1)
    try:
        return msgspec.json.decode(last[0].text, type=VerdictRecord) if last else None
    except msgspec.DecodeError:
        return None


def last_seal(path: Path) -> str:
    """The seal of a file's last complete line, hex; empty: it has none.

    Raises:
        RecordsError: a line breaks the seal.
    """
    last = deque(sealed_lines(path), maxlen=1)
    return (last[0].seal or b"").decode() if last else ""


def _to_line(record: Record) -> bytes:
    line = msgspec.json.encode(record)
    _read(line, where=f"{record.__struct_config__.tag} record would not read back")
    return line


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without the collector of cycles: answers that are read and packed in turn hold none."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _lines(path: Path) -> Iterator[RecordLine]:
    """Every complete line; a last one without its end is an interrupted write."""
    for line in sealed_lines(path):
        yield RecordLine(line.number, _read(line.text, where=f"{path}:{line.number}"), line.end)


def _end_of_evidence(path: Path) -> ResumePoint:
    """Behind the last line of evidence."""
    end = BEGIN
    for line in sealed_lines(path):
        if kind_of(line.text) in _FOLLOWS:
            break
        end = line.end
    return end


_FOLLOWS = frozenset(kind.__struct_config__.tag for kind in (Finding, VerdictRecord))
"""Tags of the lines that follow from the evidence."""
