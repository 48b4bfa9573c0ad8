"""Judge a stored run again and store what was found. Needs no model.

`checks/verdict.py` decides the verdict; `records/records_file.py` writes the file.
"""

from __future__ import annotations

from pathlib import Path

from equivcheck.checks.verdict import Verdict, judge
from equivcheck.core.atomic_write import writing
from equivcheck.records.records import Evidence
from equivcheck.records.records_file import read_evidence, seal


def rejudge(records: Path) -> tuple[Evidence, Verdict]:
    """Judge a records file and replace its findings and verdict where they changed.

    An unfinished run is left as it is: with a verdict it would pass for a finished one.

    Raises:
        RecordsError: the file cannot be read.
        EquivcheckError: its verdict changed and cannot be written.
    """
    evidence = read_evidence(records, compact=True)
    verdict = judge(evidence, finished=evidence.sealed is not None)
    if evidence.sealed is not None and not _says_already(evidence, verdict):
        with writing(records):
            seal(records, findings=verdict.findings, sealed=verdict.sealed())
    return evidence, verdict


def _says_already(evidence: Evidence, verdict: Verdict) -> bool:
    return evidence.findings == verdict.findings and evidence.sealed == verdict.sealed()
