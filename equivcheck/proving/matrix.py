"""Run faults and controls over the machine's cores, one process each, and keep what is done.

The sound arms of a rig are captured once and replayed for all of its faults. A killed proof goes on
where it was: results are trusted as long as the code and the cases that decided them are the same.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

from equivcheck.faults.catalogue import find
from equivcheck.faults.fault import Fault
from equivcheck.proving.ledger import append, read_ledger, write_ledger
from equivcheck.proving.result import Result
from equivcheck.proving.rigs import digest_of, rig_of
from equivcheck.proving.trial import attempt_trial, capture_sound, sound_folder

Progress = Callable[[str, int, int], None]
SOUND, PROVING = "sound arms", "faults"
Done = TypeVar("Done")


class Job(NamedTuple):
    """One fault or control to run."""

    id: str
    seed: int
    quick: bool

    @property
    def entry(self) -> Fault:
        """Its entry in the catalogue."""
        return find(self.id)

    @property
    def digest(self) -> str:
        """Of all that decides its result."""
        return digest_of(self.entry, quick=self.quick, seed=self.seed)


def jobs_of(entries: Sequence[Fault], *, quick: bool, control_seeds: int) -> list[Job]:
    """Faults once, controls with so many seeds."""
    return [
        Job(entry.id, seed, quick)
        for entry in entries
        for seed in range(control_seeds if entry.breaks == "nothing" else 1)
    ]


def prove(
    jobs: Sequence[Job], out: Path, *, workers: int, progress: Progress | None = None
) -> list[Result]:
    """Run what the ledger in ``out`` does not hold yet; the results in the order of the jobs.

    Raises:
        RecordsError: the ledger cannot be read.
    """
    out.mkdir(parents=True, exist_ok=True)
    known = read_ledger(out)
    asked = {(job.id, job.seed) for job in jobs}
    valid = {
        (job.id, job.seed): known[job.id, job.seed]
        for job in jobs
        if (job.id, job.seed) in known and known[job.id, job.seed].cases == job.digest
    }
    others = [result for key, result in known.items() if key not in asked]
    write_ledger(out, [*others, *valid.values()])
    waiting = [job for job in jobs if (job.id, job.seed) not in valid]
    if waiting:
        with pool(min(workers, len(waiting))) as executor:
            rigs = {(rig_of(job.entry).name, job.seed): job for job in waiting}
            sounds = [executor.submit(capture, job, out) for job in rigs.values()]
            for _ in drain(sounds, progress, what=SOUND):
                pass
            trials = [executor.submit(attempt, job, out) for job in waiting]
            for result in drain(trials, progress, what=PROVING):
                append(out, result)
                valid[result.id, result.seed] = result
    return [valid[job.id, job.seed] for job in jobs]


def capture(job: Job, out: Path) -> None:
    """Capture the sound arms that a job is held against. Runs in a worker."""
    rig = rig_of(job.entry)
    capture_sound(rig, seed=job.seed, folder=sound_folder(out, rig, seed=job.seed))


def attempt(job: Job, out: Path) -> Result:
    """Run one job. Runs in a worker."""
    sound = sound_folder(out, rig_of(job.entry), seed=job.seed)
    folder = out / "runs" / (job.id if job.seed == 0 else f"{job.id}-{job.seed}")
    return attempt_trial(job.entry, quick=job.quick, seed=job.seed, sound=sound, folder=folder)


def drain(
    futures: Sequence[Future[Done]], progress: Progress | None, *, what: str
) -> Iterator[Done]:
    """Results as they come."""
    for done, future in enumerate(as_completed(futures), start=1):
        yield future.result()
        if progress:
            progress(what, done, len(futures))


@contextmanager
def pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Processes of one thread each; an interrupt leaves what is queued undone."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(workers, mp_context=context)
    try:
        yield executor
    finally:
        executor.shutdown(cancel_futures=True)
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before
