"""Starts a measurement, or goes on with one that was interrupted: settings in, records out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from msgspec.structs import replace

from equivcheck.bench.measure import measure
from equivcheck.bench.prompts import requests_of
from equivcheck.capture.environment import fingerprint, git_state
from equivcheck.core.cases import Suite
from equivcheck.core.errors import OtherRunError
from equivcheck.core.generation import Request
from equivcheck.core.on_progress import OnProgress
from equivcheck.engines.device import device_facts, load_setup
from equivcheck.metrics.records import SCHEMA, Bench, BenchHeader, BenchSettings, BenchShard
from equivcheck.metrics.records_file import BenchWriter, is_unfinished, read_bench
from equivcheck.records.shards import Which


def run_bench(
    settings: BenchSettings,
    suites: Sequence[Suite],
    path: Path,
    *,
    prompts: int,
    fresh: bool = False,
    which: Which | None = None,
    progress: OnProgress | None = None,
) -> Bench:
    """Measure all prompts, or those of one shard, into the file `path` and read it back.

    A finished measurement there is replaced; an unfinished one with the same settings is gone on
    with, and another one is in the way unless `fresh`.

    Raises:
        OtherRunError: an unfinished measurement with other settings is there.
        EquivcheckError: something cannot be used as it is, or an arm broke.
    """
    pair = load_setup(settings.setup)
    from equivcheck.pairs.prompts import encode

    requests = requests_of(
        suites,
        prompts=prompts,
        tokens=settings.tokens,
        fill=max(point.together for point in settings.points),
        encode=partial(encode, pair.tokenizer),
        which=which,
    )
    header = make_header(settings, suites, requests, run=path.stem, models=pair.digests)
    if which is not None:
        header = replace(header, shard=BenchShard(index=which.number, of=which.of))
    if is_unfinished(path) and not fresh:
        try:
            writer, done = BenchWriter.resume(path, header)
        except OtherRunError as error:
            raise OtherRunError(
                f"{error}; throw it away with --fresh, or name another place with --out"
            ) from error
    else:
        writer, done = BenchWriter.create(path, header), Bench(header=header)
    with writer:
        measure(header, requests, writer, done=done, progress=progress)
    return read_bench(path)


def make_header(
    settings: BenchSettings,
    suites: Sequence[Suite],
    requests: dict[str, tuple[Request, ...]],
    *,
    run: str,
    models: dict[str, str],
) -> BenchHeader:
    """The manifest of a measurement that begins now."""
    git = git_state(Path.cwd())
    return BenchHeader(
        schema=SCHEMA,
        run=run,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        settings=settings,
        prompts={
            workload: tuple(request.key for request in asked)
            for workload, asked in requests.items()
        },
        prompt_digests={
            request.key: request.prompt_digest for asked in requests.values() for request in asked
        },
        suites={suite.workload: suite.digest for suite in suites},
        environment=fingerprint() | device_facts(settings.setup),
        models=models,
        git_commit=git.commit if git else None,
        git_dirty=git.dirty if git else None,
    )
