"""Read and write `bench.jsonl`, a journal of one JSON line a record."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import msgspec

from equivcheck.core.errors import RecordsError, unknown_name
from equivcheck.core.foreign import MEASUREMENT, what_is
from equivcheck.metrics.bounds import outside, unmeasurable
from equivcheck.metrics.records import (
    SCHEMA,
    Bandwidth,
    Bench,
    BenchHeader,
    BenchRecord,
    Measured,
    MeasuringSession,
    OverheadRecord,
    Probed,
)
from equivcheck.records.journal import (
    BEGIN,
    JournalWriter,
    Late,
    LineDecoder,
    ResumePoint,
    sealed_lines,
    whole_lines,
)
from equivcheck.records.same_run import refuse_other_run

BENCH_NAME = "bench.jsonl"
_read: LineDecoder[BenchRecord] = LineDecoder(BenchRecord, schema=SCHEMA)


def bench_path(place: str | Path) -> Path:
    """The file of a measurement that is named by its folder or by itself."""
    path = Path(place)
    return path if path.suffix == ".jsonl" or path.is_file() else path / BENCH_NAME


class BenchWriter(JournalWriter):
    """Appends records of a measurement."""

    @classmethod
    def create(cls, path: Path, header: BenchHeader) -> Self:
        """Start a new file in place of any other, which stays until there is a first answer.

        A measurement that cannot begin, or is interrupted before it has anything, costs nobody the
        one that is there.

        Raises:
            RecordsError: there can be no such measurement.
        """
        if wrong := unmeasurable(header):
            raise RecordsError(f"{path}: {wrong}")
        writer = cls(Late(path))
        writer.append(header)
        return writer

    @classmethod
    def resume(cls, path: Path, header: BenchHeader) -> tuple[Self, Bench]:
        """Go on with an interrupted file.

        Raises:
            OtherRunError: it belongs to another measurement; names the first field that differs.
            RecordsError: it cannot be read.
            EquivcheckError: it cannot be written.
        """
        bench, end = _read_to_end(path)
        refuse_other_run(path, found=bench.header, wanted=header)
        return cls.reopened(path, at=end), bench

    def append(self, *records: BenchRecord) -> None:
        """Write each record as one line."""
        for record in records:
            if isinstance(record, Measured):
                self.begin()
            self.write(msgspec.json.encode(record))


def read_bench(place: str | Path) -> Bench:
    """Read a measurement back, from its folder or its file.

    Raises:
        RecordsError: there is none, or a line cannot be used; names file, line and field.
    """
    return _read_to_end(bench_path(place))[0]


def is_unfinished(path: Path) -> bool:
    """Whether there is a measurement to go on with.

    Raises:
        RecordsError: there is a file, and it cannot be read.
    """
    if not path.is_file():
        return False
    if next(whole_lines(path), None) is None:
        return False
    bench = read_bench(path)
    return not bench.expected <= bench.asked


def _read_to_end(path: Path) -> tuple[Bench, ResumePoint]:
    """A measurement, and where it is resumed."""
    if not path.is_file():
        raise RecordsError(f"{path}: no such measurement; equivcheck bench makes one")
    lines, end = [], BEGIN
    try:
        for each in sealed_lines(path):
            lines.append(_read(each.text, where=f"{path}:{each.number}"))
            end = each.end
    except RecordsError as error:
        told = what_is(path, instead_of=MEASUREMENT, otherwise=str(error))
        raise type(error)(told) from error
    if not lines or not isinstance(lines[0], BenchHeader):
        headless = f"{path}:1: not a measurement: its first line is no header"
        raise RecordsError(what_is(path, instead_of=MEASUREMENT, otherwise=headless))
    for number, line in enumerate(lines, start=1):
        if isinstance(line, BenchHeader) and number > 1:
            raise RecordsError(f"{path}:{number}: a second header")
        _refuse_unknown(path, line, number=number, header=lines[0])
        if wrong := outside(line, lines[0]):
            raise RecordsError(f"{path}:{number}: {wrong}")
    bench = Bench(
        header=lines[0],
        unsealed=end.seal is None,
        measured=tuple(line for line in lines if isinstance(line, Measured)),
        probed=tuple(line for line in lines if isinstance(line, Probed)),
        bandwidth=next((line for line in reversed(lines) if isinstance(line, Bandwidth)), None),
        sessions=tuple(line for line in lines if isinstance(line, MeasuringSession)),
        spent=tuple(line for line in lines if isinstance(line, OverheadRecord)),
    )
    return bench, end


def _refuse_unknown(path: Path, line: BenchRecord, *, number: int, header: BenchHeader) -> None:
    if not isinstance(line, Measured | Probed | OverheadRecord):
        return
    arms = [arm.name for arm in header.settings.arms]
    if line.arm not in arms:
        raise RecordsError(f"{path}:{number}: arm: {unknown_name('arm', line.arm, arms)}")
    if not 0 <= line.point < len(header.settings.points):
        raise RecordsError(
            f"{path}:{number}: point: {line.point}, but the header has "
            f"{len(header.settings.points)}"
        )
    if isinstance(line, Measured) and line.workload not in header.prompts:
        known = unknown_name("workload", line.workload, header.prompts)
        raise RecordsError(f"{path}:{number}: workload: {known}")
