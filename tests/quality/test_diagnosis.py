"""Power: the report of a seeded fault says what its failing places have in common."""

from __future__ import annotations

from pathlib import Path

import pytest

from equivcheck.checks.diagnosis import diagnoses
from equivcheck.checks.verdict import judge
from equivcheck.fault_matrix.job import jobs_of
from equivcheck.fault_matrix.matrix import sound_jobs
from equivcheck.fault_matrix.trial import capture_sound, run_job
from equivcheck.faults.catalogue import find
from equivcheck.records.records_file import read_evidence

COMMON = {
    "bonus-from-slot-before": "the bonus token: ",
    "page-border": "in the step after a block that reached a multiple of 16: ",
}
"""Fault to what all of its places have in common."""


@pytest.mark.parametrize("name", COMMON)
def test_a_seeded_fault_is_told_by_its_places(name: str, tmp_path: Path) -> None:
    (job,) = jobs_of([find(name)], quick=True, seeds=1)
    (sound,) = sound_jobs([job])
    capture_sound(sound, tmp_path)
    result = run_job(job, tmp_path)
    assert result.caught, result.headline
    evidence = read_evidence(job.run_folder(tmp_path))
    (greedy, *_) = diagnoses(evidence, judge(evidence).findings)
    assert greedy.check == "greedy"
    assert greedy.lines[0].startswith(COMMON[name]), greedy.lines
    assert any(greedy.lines[0] in line for line in result.message)
