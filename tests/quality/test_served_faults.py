"""Power: a fault of serving is caught under its schedule, and the sound server is not accused.

Real services of the bundled pair. All of them: ``equivcheck faults --only F26``.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from equivcheck.core.findings import Outcome
from equivcheck.fault_matrix.job import jobs_of
from equivcheck.fault_matrix.matrix import sound_jobs
from equivcheck.fault_matrix.result import Result, Said
from equivcheck.fault_matrix.trial import capture_sound, run_job
from equivcheck.faults.catalogue import find

CAUGHT = {"row-reused-in-flight": "given-up", "counts-lost-on-preemption": "pressure"}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Result]:
    """Two faults and the sound server under the schedules of these, against one capture."""
    out: Path = tmp_path_factory.mktemp("served")
    jobs = [
        job._replace(schedules=schedules)
        for job in jobs_of([find(name) for name in (*CAUGHT, "served")], quick=True, seeds=1)
        for schedules in [(CAUGHT[job.id],) if job.id in CAUGHT else tuple(CAUGHT.values())]
    ]
    (sound,) = sound_jobs(jobs)
    capture_sound(sound, out)
    return {job.id: run_job(job, out) for job in jobs}


@pytest.mark.parametrize("name", CAUGHT)
def test_a_fault_is_caught_and_what_happened_before_is_told(
    name: str, results: dict[str, Result]
) -> None:
    result = results[name]
    assert (result.said, result.caught) == (Said.NOT_EQUIVALENT, True), result.headline
    assert result.checks == {"schedules": Outcome.FAIL}
    assert result.tokens is not None
    assert 1 <= result.tokens <= result.answered
    happened = "given up" if name == "row-reused-in-flight" else "preempted"
    assert any(happened in line for line in result.message)


def test_the_sound_server_is_not_accused(results: dict[str, Result]) -> None:
    result = results["served"]
    assert (result.said, result.accused) == (Said.EQUIVALENT, False), result.headline
    assert result.headline == "as alone under 2 schedules"
    assert result.answered > 300
