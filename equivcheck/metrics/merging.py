"""Put the shards of a measurement together as the measurement that they are parts of. Pure.

A shard that is missing, given twice, unfinished, or of other settings, prompts, versions or another
kind of machine is refused: times of two kinds of machine are no sample of one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from equivcheck.core.errors import RecordsError
from equivcheck.metrics.chunks import in_chunks
from equivcheck.metrics.records import Bench, BenchHeader, BenchPart, BenchRecord, BenchShard
from equivcheck.records.same_run import first_difference


class BenchShardRun(NamedTuple):
    """One shard as it was read."""

    name: str
    """Its file, for messages."""
    bench: Bench
    seal: str
    """Of its last line."""


def in_turn(runs: Sequence[BenchShardRun]) -> list[BenchShardRun]:
    """All shards of one measurement in order.

    Raises:
        RecordsError: some are missing, there twice, unfinished or unsealed, or they are not of one
            measurement; names the file and what is wrong.
    """
    found: dict[int, BenchShardRun] = {}
    for run in runs:
        shard = run.bench.header.shard
        if shard is None:
            raise RecordsError(f"{run.name}: a whole measurement, no shard of one")
        if not run.bench.expected <= run.bench.asked:
            raise RecordsError(f"{run.name}: an unfinished shard; run the same again to go on")
        if run.bench.unsealed:
            raise RecordsError(f"{run.name}: its lines have no seals, as those of shards do")
        if shard.index in found:
            twin = found[shard.index].name
            raise RecordsError(f"{run.name}: shard {shard.index} again, which is {twin} too")
        found[shard.index] = run
        if other := first_difference(
            found=_common(runs[0].bench.header), wanted=_common(run.bench.header)
        ):
            raise RecordsError(
                f"{run.name}: not a shard of the same measurement: {other.field} is "
                f"{ascii(other.wanted)[:60]} there and {ascii(other.found)[:60]} in {runs[0].name}"
            )
    of = next(run.bench.header.shard.of for run in runs if run.bench.header.shard)
    if missing := [str(index) for index in range(1, of + 1) if index not in found]:
        raise RecordsError(f"{len(missing)} of {of} shards are missing: {', '.join(missing[:10])}")
    return [found[index] for index in sorted(found)]


def _common(header: BenchHeader) -> BenchHeader:
    """What has to be the same in all shards."""
    of = header.shard.of if header.shard else 0
    prompts = dict.fromkeys(header.prompts, ())
    return replace(header, shard=BenchShard(index=0, of=of), prompts=prompts, prompt_digests={})


def merged_header(runs: Sequence[BenchShardRun], *, run: str) -> BenchHeader:
    """The manifest of the merged measurement, which names its parts.

    Args:
        runs: As `in_turn` returns them.
        run: Its id.
    """
    headers = [each.bench.header for each in runs]
    return replace(
        headers[0],
        run=run,
        created=max(header.created for header in headers),
        prompts={
            workload: tuple(key for header in headers for key in header.prompts[workload])
            for workload in headers[0].prompts
        },
        prompt_digests={
            key: digest for header in headers for key, digest in header.prompt_digests.items()
        },
        shard=None,
        parts=tuple(
            BenchPart(
                index=number,
                run=header.run,
                created=header.created,
                prompts=header.prompts,
                seal=each.seal,
            )
            for number, (each, header) in enumerate(zip(runs, headers, strict=True), start=1)
        ),
    )


def merged_records(runs: Sequence[BenchShardRun]) -> Iterator[BenchRecord]:
    """The lines of all shards, shard by shard; chunks are numbered on."""
    before: Counter[tuple[int, str]] = Counter()
    for _, bench, _ in runs:
        yield from bench.probed
        for each in bench.measured:
            yield replace(each, chunk=each.chunk + before[each.point, each.workload])
        yield from bench.spent
        yield from bench.sessions
        for at, point in enumerate(bench.header.settings.points):
            for workload, keys in bench.header.prompts.items():
                before[at, workload] += len(list(in_chunks(keys, size=point.together)))
    yield from (bench.bandwidth for _, bench, _ in runs[:1] if bench.bandwidth)
