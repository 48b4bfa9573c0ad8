"""Run faults and controls over the machine's cores, one process each, and keep what is done.

The sound arms of a rig are captured once and replayed for all of its faults. A killed proof goes on
where it was: results are trusted as long as the code and the cases that decided them are the same.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from equivcheck.core.on_progress import OnProgress
from equivcheck.fault_matrix.job import TrialJob
from equivcheck.fault_matrix.ledger import append, read_ledger, write_ledger
from equivcheck.fault_matrix.result import Result
from equivcheck.fault_matrix.rigs import DISTRIBUTION
from equivcheck.fault_matrix.trial import capture_sound, run_job

SOUND, PROVING = "sound arms", "faults"
Done = TypeVar("Done")


def prove(
    jobs: Sequence[TrialJob], out: Path, *, workers: int, progress: OnProgress | None = None
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
    waiting = longest_first([job for job in jobs if (job.id, job.seed) not in valid])
    if waiting:
        with pool(min(workers, len(waiting))) as executor:
            sounds = [executor.submit(capture_sound, job, out) for job in sound_jobs(waiting)]
            for _ in drain(sounds, progress, what=SOUND):
                pass
            trials = [executor.submit(run_job, job, out) for job in waiting]
            for result in drain(trials, progress, what=PROVING):
                append(out, result)
                valid[result.id, result.seed] = result
    return [valid[job.id, job.seed] for job in jobs]


def longest_first(jobs: Sequence[TrialJob]) -> list[TrialJob]:
    """Jobs so ordered that no core waits long for the last: what draws many tokens comes first.

    A sound distribution is drawn to the end, so it goes before all others.
    """
    return sorted(jobs, key=lambda job: (job.rig != DISTRIBUTION, job.entry.breaks != "nothing"))


def sound_jobs(jobs: Sequence[TrialJob]) -> list[TrialJob]:
    """One job for each rig and seed, with all schedules that are needed; the longest first."""
    gathered: dict[tuple[str, int], TrialJob] = {}
    for job in jobs:
        before = gathered.setdefault((job.rig.name, job.seed), job)
        needed = {*before.schedules, *job.schedules}
        ordered = tuple(name for name in job.rig.schedules if name in needed)
        gathered[job.rig.name, job.seed] = before._replace(schedules=ordered)
    return sorted(gathered.values(), key=lambda job: len(job.schedules), reverse=True)


def drain(
    futures: Sequence[Future[Done]], progress: OnProgress | None, *, what: str
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
