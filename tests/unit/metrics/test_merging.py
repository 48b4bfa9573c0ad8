"""Shards of a measurement, merged, have the figures of the whole; what does not fit is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from equivcheck.core.errors import RecordsError
from equivcheck.metrics.merging import BenchShardRun, in_turn, merged_header, merged_records
from equivcheck.metrics.records import Bench, BenchShard, Measured, Point
from equivcheck.metrics.records_file import BenchWriter
from equivcheck.metrics.summarise import summarise
from equivcheck.pipeline.merge_bench import merge_bench, shards_of_bench
from equivcheck.records.shards import Which, dealt
from tests.unit.metrics.make import make_bench, speculative_slower_later

WHOLE = make_bench(candidate=speculative_slower_later)


def shard_of(whole: Bench, index: int, *, of: int, **fields: Any) -> Bench:
    """What a shard would have measured: its prompts, chunks counted from 0."""
    prompts = {
        workload: tuple(key for key in keys if key in dealt(keys, of=of, leaders={})[index - 1])
        for workload, keys in whole.header.prompts.items()
    }
    header = replace(whole.header, prompts=prompts, shard=BenchShard(index=index, of=of), **fields)
    measured = tuple(
        replace(each, chunk=prompts[each.workload].index(each.generation.key))
        for each in whole.measured
        if each.generation.key in prompts[each.workload]
    )
    return replace(whole, header=header, measured=measured)


def shards(whole: Bench, *, of: int) -> list[BenchShardRun]:
    return [
        BenchShardRun(f"s{index}", shard_of(whole, index, of=of), "seal")
        for index in range(1, of + 1)
    ]


@pytest.mark.parametrize("of", [1, 2, 5])
def test_merged_figures_are_those_of_the_whole(of: int) -> None:
    runs = in_turn(shards(WHOLE, of=of)[::-1])
    lines = list(merged_records(runs))
    measured = tuple(each for each in lines if isinstance(each, Measured))
    merged = replace(WHOLE, header=merged_header(runs, run="made-up"), measured=measured)
    assert merged.expected == merged.asked == WHOLE.asked
    places = {(each.arm, each.workload, each.chunk) for each in measured}
    assert len(places) == len(WHOLE.measured)
    one, other = summarise(merged), summarise(WHOLE)
    assert one.finished
    for ours, theirs in zip(one.comparisons, other.comparisons, strict=True):
        assert ours.speedup is not None
        assert theirs.speedup is not None
        assert ours.speedup.totals.value == pytest.approx(theirs.speedup.totals.value)
        assert ours.prompts == theirs.prompts


def test_a_shard_alone_has_not_all_figures() -> None:
    summary = summarise(shard_of(WHOLE, 1, of=2))
    assert not summary.finished
    assert summary.missing == "shard 1 of 2: `equivcheck merge` has the whole"


def test_what_does_not_fit_is_refused() -> None:
    first, second = shards(WHOLE, of=2)
    with pytest.raises(RecordsError, match="1 of 2 shards are missing: 2"):
        in_turn([first])
    with pytest.raises(RecordsError, match="shard 1 again"):
        in_turn([first, first, second])
    with pytest.raises(RecordsError, match="no shard of one"):
        in_turn([BenchShardRun("s", WHOLE, "")])
    unfinished = replace(second.bench, measured=second.bench.measured[1:])
    with pytest.raises(RecordsError, match="unfinished"):
        in_turn([first, second._replace(bench=unfinished)])
    elsewhere = shard_of(WHOLE, 2, of=2, environment={"device": "cuda"})
    with pytest.raises(RecordsError, match=r"environment\.device is 'cuda' there and 'cpu' in s1"):
        in_turn([first, second._replace(bench=elsewhere)])


def test_folders_of_shards_become_one_file(tmp_path: Path) -> None:
    for number, run in enumerate(shards(WHOLE, of=2), start=1):
        path = tmp_path / Which(number, 2).folder / "bench.jsonl"
        with BenchWriter.create(path, run.bench.header) as writer:
            writer.append(*run.bench.probed, *run.bench.measured, *run.bench.sessions)
    files = shards_of_bench([tmp_path])
    assert shards_of_bench([path.parent for path in files]) == files
    assert shards_of_bench([tmp_path / "none"]) == []
    bench = merge_bench(files, tmp_path / "bench.jsonl")
    assert bench.asked == WHOLE.asked
    assert [part.index for part in bench.header.parts] == [1, 2]
    assert all(part.seal for part in bench.header.parts)
    # The merged file beside its shards is not taken for one of them.
    assert shards_of_bench([tmp_path]) == files


def test_chunks_are_filled_within_shards() -> None:
    whole = make_bench(points=(Point(batch_size=2, context=64),))
    runs = in_turn(
        [
            run._replace(
                bench=replace(
                    run.bench,
                    measured=tuple(replace(m, chunk=m.chunk // 2) for m in run.bench.measured),
                )
            )
            for run in shards(whole, of=2)
        ]
    )
    measured = [each for each in merged_records(runs) if isinstance(each, Measured)]
    chunks = {each.chunk for each in measured if each.workload == "code"}
    assert len(chunks) == sum(-(-len(run.bench.header.prompts["code"]) // 2) for run in runs)
