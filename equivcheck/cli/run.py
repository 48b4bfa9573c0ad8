"""``equivcheck run``: capture both arms over the suites, judge, report."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from equivcheck.cli.on_ray import ray_options, run_on_ray
from equivcheck.cli.output import Output, json_option, note
from equivcheck.cli.setup_options import (
    baseline_option,
    distribution_options,
    read_settings,
    setup_options,
)
from equivcheck.core.exit_codes import INTERRUPTED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from equivcheck.core.cases import Suite
    from equivcheck.core.settings import Settings
    from equivcheck.records.shards import Which

SUITES = "suites"


@click.command("run")
@click.argument("suites", nargs=-1, metavar="[SUITES]...")
@setup_options
@distribution_options
@baseline_option
@click.option(
    "--only",
    multiple=True,
    metavar="GLOB",
    help="Only cases whose key (workload/id) fits, e.g. 'code/*'. May be repeated.",
)
@click.option("--out", metavar="FOLDER", help="Where the run goes. [reports/latest]")
@click.option(
    "--shard",
    metavar="I/N",
    help="Only the I-th of N parts of the cases, in a folder of its own below --out; 'auto' or "
    "'auto/N' reads I (and N) from a SLURM array or an indexed Kubernetes job.",
)
@ray_options
@click.option(
    "--resume/--fresh",
    "resume",
    default=None,
    help="Insist on going on with an unfinished run, or throw it away. Default: go on if it fits.",
)
@click.option(
    "--continue",
    "more",
    is_flag=True,
    help="Draw another budget of sampled tokens for a finished run with the same settings.",
)
@json_option
def command(
    *,
    suites: tuple[str, ...],
    only: tuple[str, ...],
    out: str | None,
    shard: str | None,
    ray: str | None,
    shards: int | None,
    shard_cpus: float,
    shard_gpus: float,
    resume: bool | None,
    more: bool,
    overrides: tuple[str, ...],
    as_json: bool,
    **flags: Any,
) -> int:
    """Run candidate and target over SUITES (files or folders; default: suites) and judge them.

    A finished run in the folder is replaced, or drawn on with --continue; an unfinished one with
    the same settings is resumed. Ctrl-C keeps what is done.
    """
    from equivcheck.cli.printing import print_run
    from equivcheck.cli.supervise import rests_on
    from equivcheck.core.errors import OtherRunError
    from equivcheck.core.load_suites import load_suites
    from equivcheck.records.run_folder import LATEST, lock
    from equivcheck.records.shards import read_which

    settings = read_settings(flags, overrides)
    chosen = _select(load_suites(suites or (SUITES,)), only)
    which = read_which(shard, os.environ) if shard else None
    folder = Path(out) if out else LATEST
    folder = folder / which.folder if which else folder
    if more and (which or ray):
        raise click.UsageError("--continue draws on a whole run: no --shard, no --ray")
    if ray and which:
        raise click.UsageError("--ray runs all shards: no --shard")
    if more and resume is not None:
        raise click.UsageError("--continue goes on with a finished run: no --resume, no --fresh")
    rests_on(folder)
    with lock(folder):
        try:
            if more:
                _draw_more(settings, chosen, folder)
            elif ray:
                run_on_ray(
                    settings,
                    chosen,
                    folder,
                    fresh=resume is False,
                    ray=ray,
                    shards=shards,
                    shard_cpus=shard_cpus,
                    shard_gpus=shard_gpus,
                )
            else:
                resumed = _make_room(folder, settings, chosen, which=which, resume=resume)
                _capture(settings, chosen, folder, which=which, resumed=resumed)
        except OtherRunError as error:
            raise OtherRunError(
                f"{error}; throw it away with --fresh, or name another folder with --out"
            ) from error
        except KeyboardInterrupt:
            kept = f"what came is kept in {folder}; run the same again to go on"
            note(f"\ninterrupted; {kept if ray else _kept(folder)}")
            return INTERRUPTED
    return print_run(folder, output=Output(as_json=as_json))


def _select(suites: Sequence[Suite], only: Sequence[str]) -> tuple[Suite, ...]:
    """The cases whose key fits any of the patterns; all without patterns.

    Raises:
        SuiteError: a pattern fits no case.
    """
    from fnmatch import fnmatchcase

    from equivcheck.core.errors import SuiteError, did_you_mean
    from equivcheck.core.load_suites import select

    if not only:
        return tuple(suites)
    keys = [suite.key(case) for suite in suites for case in suite.cases]
    for pattern in only:
        if not any(fnmatchcase(key, pattern) for key in keys):
            hint = did_you_mean(pattern, keys)
            raise SuiteError(f"--only {pattern!r}: fits none of {len(keys)} cases{hint}")
    return select(suites, [key for key in keys if any(fnmatchcase(key, p) for p in only)])


def _make_room(
    folder: Path,
    settings: Settings,
    suites: Sequence[Suite],
    *,
    which: Which | None,
    resume: bool | None,
) -> bool:
    """Whether there is a run to go on with. Holds the user to what they insisted on.

    Raises:
        RecordsError: another unfinished run is in the way, or there is none to resume.
    """
    from equivcheck.core.errors import RecordsError
    from equivcheck.records.run_folder import is_unfinished, make_room

    if resume and not is_unfinished(folder):
        raise RecordsError(f"{folder}: --resume, but no unfinished run is there")
    start = make_room(folder, settings, suites, which=which, fresh=resume is False)
    resumed = start == "resumed"
    if resumed:
        note(f"going on with the unfinished run in {folder}")
    return resumed


def _draw_more(settings: Settings, suites: tuple[Suite, ...], folder: Path) -> None:
    """Go on with a finished run, and say how far it is now.

    Raises:
        RecordsError: there is none to go on with.
    """
    from equivcheck.pipeline.draw_more import finished_run, tokens_drawn
    from equivcheck.records.records_file import read_evidence

    before = tokens_drawn(finished_run(folder, settings, suites))
    note(f"going on with the finished run in {folder}: {before:,} tokens are drawn")
    _capture(settings, suites, folder, resumed=True, more=True)
    note(f"{tokens_drawn(read_evidence(folder, scores=False)):,} tokens are drawn now")


def _capture(
    settings: Settings,
    suites: tuple[Suite, ...],
    folder: Path,
    *,
    resumed: bool,
    which: Which | None = None,
    more: bool = False,
) -> None:
    from equivcheck.capture.thread_choice import timed_threads
    from equivcheck.cli.progress import shown_progress
    from equivcheck.pipeline.run import run
    from equivcheck.records.run_folder import clear

    with shown_progress() as progress:
        run(
            settings,
            suites,
            folder,
            resume=resumed,
            make_way=clear,
            more=more,
            which=which,
            time_threads=timed_threads,
            progress=progress,
        )


def _kept(folder: Path) -> str:
    from equivcheck.records.run_folder import is_unfinished

    if not is_unfinished(folder):
        return "nothing was captured yet"
    from equivcheck.records.records import DRAWING
    from equivcheck.records.records_file import read_evidence

    evidence = read_evidence(folder, scores=False)
    answered = sum(len(evidence.answers(arm)) for arm in evidence.captured)
    planned = sum(len(keys) for arm, keys in evidence.header.planned.items() if arm not in DRAWING)
    drawn = sum(len(draws) for draws in evidence.draws.values())
    draws = f" and {drawn:,} draws" if drawn else ""
    return (
        f"{answered} of {planned} answers{draws} are kept in {folder}; run the same again to go on"
    )
