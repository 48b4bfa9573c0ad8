"""Read the records of a foreign file: lines, an array or a document, gzipped or not."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import IO, Any, NamedTuple

import msgspec

from equivcheck.core.errors import SuiteError
from equivcheck.core.foreign import GZIP, recognise
from equivcheck.core.load_suites import MAX_LINE_BYTES
from equivcheck.core.validation import decoded

MOST_DOCUMENT = 2**31
"""Bytes of a file that is one JSON document, unpacked; one of lines may be of any length."""
_PACKED = {
    b"PAR1": "a Parquet file, which equivcheck suite from reads where its name ends in .parquet",
    b"PK\x03\x04": "a packed file, as inspect's .eval logs are; write it as JSON: inspect log "
    "convert FILE --to json --output-dir FOLDER",
}
"""How files begin that other tools turn into JSON, and how."""
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_decode = msgspec.json.Decoder().decode


class ReadRecord(NamedTuple):
    """One record, or why there is none in its place."""

    place: str
    """``line 3``, or ``record 3`` of a document."""
    record: dict[str, Any] | None
    why: str = ""
    is_text: bool = False
    """Whether it is a line of plain text."""


def records_of(path: Path, *, as_text: bool = False) -> Iterator[ReadRecord]:
    """The records of a file in their order; of text, ``{"prompt": line}``.

    Raises:
        SuiteError: the file cannot be read, or is neither JSON nor text.
    """
    try:
        with closing(_opened(path)) as file:
            yield from _lines(file, path=path, as_text=as_text)
    except FileNotFoundError:
        raise SuiteError(f"{path}: no such file") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise SuiteError(f"{path}: cannot be unpacked: {error}") from error
    except OSError as error:
        raise SuiteError(f"{path}: cannot be read: {error.strerror}") from error


def _opened(path: Path) -> IO[bytes]:
    with path.open("rb") as file:
        packed = file.read(2) == GZIP
    return gzip.open(path) if packed else path.open("rb")  # type: ignore[return-value]


def _lines(file: IO[bytes], *, path: Path, as_text: bool) -> Iterator[ReadRecord]:
    first, number = b"", 0
    while not first.strip():
        first = file.readline(MAX_LINE_BYTES).removeprefix(_BYTE_ORDER_MARK)
        number += 1
        if not first:
            raise SuiteError(f"{path}: empty file")
    begun = first.lstrip()[:1]
    for magic, what in _PACKED.items():
        if first.startswith(magic):
            raise SuiteError(f"{path}: {what}")
    if as_text or begun not in (b"{", b"["):
        yield from _texts(first, number, file, path=path)
    elif begun == b"[" or _record(first)[0] is None:
        document = first + file.read(MOST_DOCUMENT - len(first))
        value, why = _value(document)
        if value is None and begun == b"{":
            # Not one document: then lines, the first of which is broken.
            yield ReadRecord(f"line {number}", None, why=_record(first)[1])
            yield from _records(document[len(first) :].splitlines(keepends=True), number)
        elif value is None:
            raise SuiteError(f"{path}: {why}")
        else:
            yield from _within(value)
    elif _samples_of(record := _record(first)[0]):
        yield from _within(record)
    else:
        yield ReadRecord(f"line {number}", *_record(first))
        yield from _records(iter(lambda: file.readline(MAX_LINE_BYTES), b""), number)


def _records(lines: Any, number: int) -> Iterator[ReadRecord]:
    for at, line in enumerate(lines, start=number + 1):
        if line.strip():
            yield ReadRecord(f"line {at}", *_record(line))


def _record(line: bytes) -> tuple[dict[str, Any] | None, str]:
    value, why = _value(line)
    if why or isinstance(value, dict):
        return value, why
    return None, "not an object"


def _value(data: bytes) -> tuple[Any, str]:
    try:
        return decoded(_decode, data), ""
    except msgspec.DecodeError:
        return None, "not valid JSON"


def _within(value: Any) -> Iterator[ReadRecord]:
    """The records of a document: those of an array, one conversation, or the samples of a log."""
    if isinstance(value, list):
        if value and isinstance(value[0], dict) and {"role", "content"} <= {*value[0]}:
            value = [{"messages": value}]
    else:
        value = _samples_of(value) or [value]
    for at, record in enumerate(value, start=1):
        good = isinstance(record, dict)
        yield ReadRecord(
            f"record {at}", record if good else None, why="" if good else "not an object"
        )


def _samples_of(log: Any) -> list[Any]:
    """The samples of an inspect log, each with how the whole run was asked; none of other values.

    A log is one document, often on one line.
    """
    found = recognise(log)
    if found is None or found.format != "inspect" or not isinstance(log, dict):
        return []
    config = (log.get("eval") or {}).get("model_generate_config") or {}
    config = config or (log.get("plan") or {}).get("config") or {}
    return [
        {**sample, "equivcheck.config": config} if isinstance(sample, dict) else sample
        for sample in log["samples"]
    ]


def _texts(first: bytes, number: int, file: IO[bytes], *, path: Path) -> Iterator[ReadRecord]:
    line = first
    while line:
        if b"\0" in line:
            raise SuiteError(f"{path}: neither JSON nor text")
        if line.strip():
            try:
                yield ReadRecord(
                    f"line {number}", {"prompt": line.decode().rstrip("\r\n")}, is_text=True
                )
            except UnicodeDecodeError:
                yield ReadRecord(f"line {number}", None, why="not valid UTF-8")
        line, number = file.readline(MAX_LINE_BYTES), number + 1
