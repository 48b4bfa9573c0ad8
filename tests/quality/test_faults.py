"""Power: faults of every kind are caught by their checks and called by their names.

Real runs of the bundled pair, one or two faults of each kind. All of them: ``equivcheck faults``.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from equivcheck.checks.verdict import judge
from equivcheck.core.findings import Outcome, Reason
from equivcheck.engines.replay import ReplayEngine, ReplayOptions
from equivcheck.fault_matrix.job import jobs_of
from equivcheck.fault_matrix.matrix import sound_jobs
from equivcheck.fault_matrix.result import Result, Said
from equivcheck.fault_matrix.trial import capture_sound, run_job
from equivcheck.faults.catalogue import find
from equivcheck.records.records_file import read_evidence
from equivcheck.statistics.profiles import PROFILES, Profile, Required

SPEED_ONLY = ("draft-position-late", "stale-draft-cache")
"""Lossless drafters off their distribution; drawn by the rejection rule, too."""
SAID = {
    "no-trim": Said.NOT_EQUIVALENT,
    "relaxed-acceptance": Said.NOT_EQUIVALENT,
    "id-beyond-vocabulary": Said.NOT_EQUIVALENT,
    "logprobs-shifted": Said.INTERFACE,
    "drafts-overcounted": Said.ACCOUNTING,
    "never-drafts": Said.NOT_TESTED,
}


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("faults")


@pytest.fixture(scope="module")
def results(out: Path) -> dict[str, Result]:
    """All of `SAID`, held against one capture of the sound arms."""
    jobs = jobs_of([find(name) for name in SAID], quick=True, seeds=1)
    (sound,) = sound_jobs(jobs)
    capture_sound(sound, out)
    return {job.id: run_job(job, out) for job in jobs}


@pytest.mark.parametrize("name", SAID)
def test_a_fault_is_caught_by_its_check(name: str, results: dict[str, Result]) -> None:
    result = results[name]
    assert (result.said, result.caught) == (SAID[name], True), result.headline
    assert result.message[0].split(" · ")[1] == result.caught_by


@pytest.mark.parametrize("name", SPEED_ONLY)
def test_a_worse_drafter_is_not_accused(
    name: str, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = Profile(tokens=1_200, required=(Required("leak", 1.0),))
    monkeypatch.setitem(PROFILES, "quick", few)
    (job,) = jobs_of([find(name)], quick=True, seeds=1)
    capture_sound(job, out)
    result = run_job(job, out)
    assert (result.said, result.caught, result.accused) == (Said.DEGRADED, True, False)
    verdict = judge(read_evidence(job.run_folder(out)))
    reasons = [each.reason for each in verdict.findings if each.check == "sampled"]
    assert reasons == [Reason.DISTRIBUTION_HELD, Reason.DRAFT_DISTRIBUTION_VOID]
    assert verdict.outcome is Outcome.PASS


def test_what_is_told_of_a_fault(results: dict[str, Result]) -> None:
    result = results["no-trim"]
    assert result.checks["greedy"] is Outcome.FAIL
    assert result.requests is not None
    assert result.tokens is not None
    assert 1 <= result.requests <= 8
    assert result.requests <= result.tokens <= result.answered
    assert result.message[-1].startswith("  repeat: equivcheck replay ")
    assert results["relaxed-acceptance"].label == "lossy"


def test_sound_arms_are_captured_once(out: Path, results: dict[str, Result]) -> None:
    (sound,) = sound_jobs(jobs_of([find("no-trim")], quick=True, seeds=1))
    before = (sound.sound_folder(out) / "records.jsonl").stat().st_mtime_ns
    capture_sound(sound, out)
    assert (sound.sound_folder(out) / "records.jsonl").stat().st_mtime_ns == before


def test_the_target_is_replayed(out: Path, results: dict[str, Result]) -> None:
    (job,) = jobs_of([find("no-trim")], quick=True, seeds=1)
    options = ReplayOptions(file=str(job.run_folder(out)), arm="target")
    engine = ReplayEngine(options, job.rig.settings.setup)
    assert any("recorded from replay:" in note for note in engine.capabilities.notes)


def test_a_fault_that_breaks_the_run_is_not_caught(
    out: Path, results: dict[str, Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object, **options: object) -> None:
        raise IndexError("out of bounds")

    monkeypatch.setattr("equivcheck.fault_matrix.trial.run", broken)
    (job,) = jobs_of([find("no-trim")], quick=True, seeds=1)
    result = run_job(job._replace(seed=0), out / "other")
    assert (result.said, result.caught, result.accused) == (Said.BROKE, False, False)
    assert result.headline == "IndexError: out of bounds"
