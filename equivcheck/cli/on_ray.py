"""``equivcheck run --ray``: all shards of a run on a cluster, and their verdict as one run."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from equivcheck.cli.output import note

if TYPE_CHECKING:
    from equivcheck.core.cases import Suite
    from equivcheck.core.settings import Settings

Command = TypeVar("Command", bound=Any)
OPTIONS = ("ray", "shards", "shard_cpus", "shard_gpus")


def ray_options(command: Command) -> Command:
    """Whether the shards of a run go to a cluster, and what each gets."""
    for option in (
        click.option(
            "--shard-gpus",
            type=click.FloatRange(min=0),
            default=0.0,
            help="With --ray: GPUs of each shard. [0]",
        ),
        click.option(
            "--shard-cpus",
            type=click.FloatRange(min=0, min_open=True),
            default=1.0,
            help="With --ray: CPUs of each shard, and threads where none are set. [1]",
        ),
        click.option(
            "--shards",
            type=click.IntRange(min=1),
            help="With --ray: how many shards. [as many as the cluster has room for at once]",
        ),
        click.option(
            "--ray",
            is_flag=False,
            flag_value="auto",
            metavar="[ADDRESS]",
            help="Run all shards on a Ray cluster and merge them; 'auto' is the one of this "
            "machine, 'local' this machine alone. Put it last, or write --ray=ADDRESS.",
        ),
    ):
        command = option(command)
    return command


def run_on_ray(
    settings: Settings,
    suites: Sequence[Suite],
    folder: Path,
    *,
    fresh: bool,
    ray: str,
    shards: int | None,
    shard_cpus: float,
    shard_gpus: float,
) -> None:
    """Run what is missing of all shards below ``folder``, and merge them into it."""
    from equivcheck.cli.progress import shown_progress
    from equivcheck.cluster.connection import Cluster, connected, room_for
    from equivcheck.cluster.spread import spread
    from equivcheck.pipeline.merge import SHARDS, merge
    from equivcheck.records.records_file import RECORDS_NAME
    from equivcheck.records.run_folder import is_unfinished
    from equivcheck.records.shards import Which

    finished = (folder / RECORDS_NAME).is_file() and not is_unfinished(folder)
    if fresh or finished:
        for old in folder.glob(SHARDS):
            shutil.rmtree(old)
    with connected(ray) as cluster_of, shown_progress() as progress:
        cases = sum(len(suite.cases) for suite in suites)
        of = shards or min(cases, room_for(cluster_of, cpus=shard_cpus, gpus=shard_gpus))
        cluster = Cluster(address=ray, shards=of, cpus=shard_cpus, gpus=shard_gpus)
        spread(settings, suites, folder, cluster=cluster, say=note, progress=progress)
    merge([folder / Which(number, of).folder for number in range(1, of + 1)], folder)
    note(f"merged {of} shards into {folder}")
