"""From what a user names (a baseline, a file, a run, a measurement) to something to compare."""

from __future__ import annotations

from pathlib import Path

import msgspec

from equivcheck.baselines.store import (
    BaselineError,
    names,
    nearest_folder,
    path_of,
    read_baseline,
)
from equivcheck.checks.verdict import judge
from equivcheck.compare.from_aiperf import aiperf_baseline
from equivcheck.compare.from_bench import bench_baseline, with_bench
from equivcheck.compare.from_run import baseline_of
from equivcheck.core.errors import EquivcheckError, RecordsError, did_you_mean
from equivcheck.core.findings import Outcome
from equivcheck.core.foreign import is_aiperf_file
from equivcheck.metrics.records_file import BENCH_NAME, read_bench
from equivcheck.records.baseline_record import Baseline
from equivcheck.records.records_file import RECORDS_NAME, read_evidence
from equivcheck.records.run_folder import REPORTS, find_run


def taken(name: str, *, bench: str | None = None, folder: Path | None = None) -> Baseline:
    """What ``name`` stands for: a saved baseline, its file, a run, or a measurement.

    A folder that holds records and a measurement gives both.

    Args:
        name: As the user wrote it.
        bench: Folder or file of a measurement whose figures are added.
        folder: Where baselines are saved; None: the nearest such folder.

    Raises:
        BaselineError: it is no run either, or the file cannot be used.
        RecordsError: the run or measurement cannot be read.
    """
    found = _taken(name, folder=folder)
    if bench is None:
        return found
    return with_bench(found, read_bench(bench))


def _taken(name: str, *, folder: Path | None) -> Baseline:
    path = Path(name)
    if path.is_file() and is_aiperf_file(path):
        return aiperf_baseline(path, name=name)
    if name.endswith(".json"):
        return read_baseline(name, folder=folder)
    if measured := _measurement(path):
        bench = read_bench(measured)
        if not (path.is_dir() and (path / RECORDS_NAME).is_file()):
            return bench_baseline(bench, name=name)
        return with_bench(run_taken(path / RECORDS_NAME, name=name), bench)
    if not path.exists() and name in names(folder=folder):
        return read_baseline(name, folder=folder)
    try:
        records = find_run(name)
    except RecordsError as error:
        if path.exists():
            raise
        known = [
            *names(folder=folder),
            *(found.parent.name for found in REPORTS.glob(f"*/{RECORDS_NAME}")),
        ]
        raise BaselineError(
            "missing",
            f"{name}: no baseline in {folder or nearest_folder()}, and no run in {REPORTS}"
            f"{did_you_mean(name, known)}",
            fix=_save_command(name),
        ) from error
    return run_taken(records, name=name)


def run_taken(records: Path, *, name: str) -> Baseline:
    """Baseline of a records file; an unfinished run is taken as inconclusive."""
    evidence = read_evidence(records, compact=True)
    return baseline_of(evidence, judge(evidence, finished=evidence.sealed is not None), name=name)


def renamed(baseline: Baseline, name: str, *, forced: str | None) -> Baseline:
    """The baseline as it is to be saved.

    Raises:
        EquivcheckError: it or its measurement did not pass, and no reason is given to save it
            nevertheless.
    """
    doubt = None
    if baseline.verdict is not Outcome.PASS:
        doubt = f"the run did not pass: {baseline.headline}"
    elif baseline.bench and baseline.bench.diverged:
        doubt = f"tokens differ in the measurement: {', '.join(baseline.bench.diverged)}"
    if doubt and not forced:
        raise EquivcheckError(
            f"{baseline.name}: not saved, because {doubt}; "
            f"--force REASON saves it nevertheless and keeps the reason"
        )
    kept = forced if doubt else None
    return msgspec.structs.replace(baseline, name=name, forced=kept, history=())


def _measurement(path: Path) -> Path | None:
    """The file of a measurement, of its folder or itself; None where there is none."""
    if path.name == BENCH_NAME:
        return path if path.is_file() else None
    return path / BENCH_NAME if (path / BENCH_NAME).is_file() else None


def _save_command(name: str) -> str:
    try:
        path_of(name)
    except EquivcheckError:
        name = "main"
    return f"equivcheck baseline save --name {name}"
