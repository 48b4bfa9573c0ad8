"""The ledger: one JSON line a result, appended as they come; a killed proof is resumed."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from equivcheck.core.errors import RecordsError
from equivcheck.core.validation import decoded
from equivcheck.fault_matrix.result import Result
from equivcheck.records.journal import whole_lines, write_anew, write_line

LEDGER_NAME = "ledger.jsonl"
Key = tuple[str, int]
"""Fault and seed."""
_decode_result = msgspec.json.Decoder(Result).decode


def read_ledger(folder: Path) -> dict[Key, Result]:
    """The latest result of each fault and seed; none where there is no ledger.

    Raises:
        RecordsError: a whole line cannot be read.
    """
    path = folder / LEDGER_NAME
    if not path.is_file():
        return {}
    results = {}
    for number, _, text in whole_lines(path):
        try:
            result = decoded(_decode_result, text)
        except msgspec.DecodeError as error:
            raise RecordsError(f"{path}:{number}: {error}; delete the file to start anew") from None
        results[result.id, result.seed] = result
    return results


def write_ledger(folder: Path, results: Iterable[Result]) -> None:
    """Replace the ledger, which drops results that no longer hold."""
    write_anew(folder / LEDGER_NAME, map(msgspec.json.encode, results))


def append(folder: Path, result: Result) -> None:
    """Write one result down, whole."""
    with (folder / LEDGER_NAME).open("ab", buffering=0) as file:
        write_line(file, msgspec.json.encode(result))
        os.fsync(file.fileno())
