"""What `equivcheck merge` does with shards of a measurement: one file of all their lines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from equivcheck.core.errors import RecordsError
from equivcheck.metrics.merging import BenchShardRun, in_turn, merged_header, merged_records
from equivcheck.metrics.records import Bench
from equivcheck.metrics.records_file import BENCH_NAME, BenchWriter, is_unfinished, read_bench
from equivcheck.pipeline.merge import SHARDS
from equivcheck.records.records_file import last_seal


def shards_of_bench(folders: Sequence[Path]) -> list[Path]:
    """Files of shards of a measurement in some folders, each once; empty: none has any."""
    every = [
        path / BENCH_NAME
        for folder in folders
        for path in (folder, *sorted(folder.glob(SHARDS)))
        if (path / BENCH_NAME).is_file()
        and (path != folder or not any(folder.glob(f"{SHARDS}/{BENCH_NAME}")))
    ]
    return list({path.resolve(): path for path in every}.values())


def merge_bench(files: Sequence[Path], out: Path) -> Bench:
    """Merge shards of a measurement into the file ``out``, in place of a finished one there.

    Raises:
        RecordsError: a shard is missing, doubled, unfinished, damaged or of another measurement, or
            an unfinished measurement is in the way.
    """
    runs = in_turn([BenchShardRun(str(path), read_bench(path), last_seal(path)) for path in files])
    if is_unfinished(out):
        raise RecordsError(f"{out}: holds an unfinished measurement; merge elsewhere with --out")
    with BenchWriter.create(out, merged_header(runs, run=out.stem)) as writer:
        writer.append(*merged_records(runs))
    return read_bench(out)
