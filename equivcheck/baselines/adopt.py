"""Put the baseline that the settings name into a run's records, so that judging needs no file."""

from __future__ import annotations

from pathlib import Path

from equivcheck.baselines.store import BaselineError, read_baseline
from equivcheck.records.baseline_record import BaselineRecord
from equivcheck.records.records_file import RecordsWriter, read_evidence


def adopt_baseline(path: Path) -> None:
    """Append what the baseline says now, or why it cannot be used, unless that is there already.

    Raises:
        EquivcheckError: the records cannot be read, or the baseline's name cannot be one.
    """
    evidence = read_evidence(path, scores=False, compact=True)
    name = evidence.header.settings.baseline
    if name is None:
        return
    found = against(name)
    if found != evidence.against:
        writer, _ = RecordsWriter.resume(path, evidence.header, compact=True)
        with writer:
            writer.append(found)


def against(name: str) -> BaselineRecord:
    """The record of a baseline, usable or not."""
    try:
        return BaselineRecord(name=name, baseline=read_baseline(name))
    except BaselineError as error:
        return BaselineRecord(name=name, problem=str(error), fix=error.fix)
