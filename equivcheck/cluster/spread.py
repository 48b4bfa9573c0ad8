"""Spreads the shards of a run over a Ray cluster, one actor each, and watches over them.

Each actor's records are copied home while it works. Where an actor or its node is lost, the shard
is begun again elsewhere with what was copied. Merging is the caller's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from equivcheck.capture.environment import git_state
from equivcheck.cluster.connection import Cluster, connected, room_for
from equivcheck.cluster.mirror import apply, have, packed
from equivcheck.cluster.worker import Asked, Ended, Job, Worker
from equivcheck.core.cases import Suite
from equivcheck.core.errors import EquivcheckError, describe
from equivcheck.core.settings import Settings
from equivcheck.records.records_file import RECORDS_NAME, read_evidence
from equivcheck.records.run_folder import make_room, other_than_asked
from equivcheck.records.shards import Which

TRIES = 3
"""Times that a shard is begun, losses of its engine or its machine included."""
EVERY = 1.0
"""Seconds between two copies of a shard's records."""
LAST_SECONDS = 10.0
"""For the last copy of what an interrupted shard has."""


class Attempt:
    """A shard that is running somewhere."""

    def __init__(self, job: Job, *, number: int, actor: Any) -> None:
        """An actor that was asked for; it may wait for room."""
        self.job, self.number, self.actor = job, number, actor
        self.running = actor.run.remote()
        self.copied = time.monotonic()
        self.copying: Any = None
        self.progress: dict[str, tuple[int, int]] = {}


def spread(
    settings: Settings,
    suites: Sequence[Suite],
    folder: Path,
    *,
    cluster: Cluster,
    say: Callable[[str], object],
    progress: Callable[[str, int, int], None] | None = None,
) -> None:
    """Run every shard that is not finished in its folder below ``folder``.

    Args:
        settings: Of the run. Threads that are not set are as many as each shard has CPUs.
        suites: What is asked.
        folder: Of the whole run. The caller holds its lock.
        cluster: Where, and what each shard gets.
        say: Told in a sentence what is lost and begun again.
        progress: Told how far all shards are together.

    Raises:
        SettingsError: Ray is not installed, there is no such cluster, or none of its machines has
            room for a shard.
        EquivcheckError: a shard could not be run; what others had is copied, and the same command
            goes on from there.
    """
    if settings.setup.threads is None:
        setup = replace(settings.setup, threads=max(1, int(cluster.cpus)))
        settings = replace(settings, setup=setup)
    asked, checkout = Asked(settings, tuple(suites)).packed(), git_state(Path.cwd())
    jobs = [
        Job(asked, which, checkout, str(Path.cwd()))
        for which in (Which(number, cluster.shards) for number in range(1, cluster.shards + 1))
        if not is_done(folder / which.folder, settings, suites, which=which)
    ]
    if jobs:
        with connected(cluster.address) as ray:
            room_for(ray, cpus=cluster.cpus, gpus=cluster.gpus)
            ClusterWatch(ray, folder, cluster=cluster, say=say, progress=progress).all(jobs)


def is_done(folder: Path, settings: Settings, suites: Sequence[Suite], *, which: Which) -> bool:
    """Whether a shard of this very run is finished in its folder.

    Raises:
        OtherRunError: an unfinished one of another run is in the way.
    """
    if not (folder / RECORDS_NAME).is_file():
        return False
    if make_room(folder, settings, suites, which=which) == "resumed":
        return False
    evidence = read_evidence(folder, scores=False)
    return evidence.sealed is not None and not other_than_asked(
        evidence, settings, suites, which=which
    )


class ClusterWatch:
    """All shards that run on a cluster, seen from one place."""

    def __init__(
        self,
        ray: Any,
        folder: Path,
        *,
        cluster: Cluster,
        say: Callable[[str], object],
        progress: Callable[[str, int, int], None] | None,
    ) -> None:
        """Nothing runs yet."""
        self.ray, self.folder, self.cluster = ray, folder, cluster
        self.say, self.progress = say, progress
        self.actor = ray.remote(Worker).options(
            num_cpus=cluster.cpus,
            num_gpus=cluster.gpus,
            max_concurrency=2,
            max_restarts=0,
            scheduling_strategy="SPREAD",
        )
        self.running: list[Attempt] = []
        self.told: dict[Which, dict[str, tuple[int, int]]] = {}

    def all(self, jobs: Sequence[Job]) -> None:
        """Run jobs to their end.

        Raises:
            EquivcheckError: one could not be run.
        """
        try:
            self.running = [self.begin(job, number=1) for job in jobs]
            while self.running:
                waited = [each.running for each in self.running]
                waited += [each.copying for each in self.running if each.copying is not None]
                ready, _ = self.ray.wait(waited, num_returns=1, timeout=EVERY)
                for attempt in list(self.running):
                    self.look(attempt, ready)
        finally:
            self.end()

    def begin(self, job: Job, *, number: int) -> Attempt:
        """Ask for an actor, which gets what an earlier one has sent."""
        files = packed(self.folder / job.which.folder)
        return Attempt(job, number=number, actor=self.actor.remote(job, files))

    def look(self, attempt: Attempt, ready: Sequence[Any]) -> None:
        """See what became of a shard, and copy what it has."""
        from ray.exceptions import RayError

        try:
            if attempt.copying in ready:
                self.take(attempt)
            if attempt.running in ready:
                self.ended(attempt, self.ray.get(attempt.running))
            elif attempt.copying is None and time.monotonic() - attempt.copied >= EVERY:
                place = self.folder / attempt.job.which.folder
                attempt.copying = attempt.actor.news.remote(have(place))
        except RayError as error:
            self.lost(attempt, describe(error))

    def take(self, attempt: Attempt) -> bool:
        """Add what came to the copy; whether there is more."""
        news = self.ray.get(attempt.copying)
        attempt.copying, attempt.copied = None, time.monotonic()
        apply(self.folder / attempt.job.which.folder, news)
        self.told[attempt.job.which] = news.progress
        self.tell()
        return bool(news.more)

    def ended(self, attempt: Attempt, how: Ended) -> None:
        """Copy the rest of a shard, and let go of its machine.

        Raises:
            EquivcheckError: it could not be run, and another try would do no better.
        """
        self.copy_all(attempt, seconds=None)
        which = attempt.job.which
        if how.error is None:
            self.running.remove(attempt)
            self.ray.kill(attempt.actor)
        elif how.again:
            self.lost(attempt, how.error)
        else:
            raise EquivcheckError(f"shard {which.number} of {which.of}: {how.error}")

    def lost(self, attempt: Attempt, why: str) -> None:
        """Begin a shard again whose engine, process or machine is gone.

        Raises:
            EquivcheckError: it was begun often enough.
        """
        which = attempt.job.which
        told = f"shard {which.number} of {which.of} was lost: {why}"
        if attempt.number == TRIES:
            raise EquivcheckError(f"{told} (try {attempt.number} of {TRIES})")
        self.say(f"{told}; it is begun again from what is here")
        self.running.remove(attempt)
        self.ray.kill(attempt.actor)
        self.running.append(self.begin(attempt.job, number=attempt.number + 1))

    def copy_all(self, attempt: Attempt, *, seconds: float | None) -> None:
        """Copy all that a shard has by now."""
        more = True
        while more:
            place = self.folder / attempt.job.which.folder
            if attempt.copying is None:
                attempt.copying = attempt.actor.news.remote(have(place))
                fresh = True
            else:
                fresh = False
            if not self.ray.wait([attempt.copying], timeout=seconds)[0]:
                return
            more = self.take(attempt) or not fresh

    def end(self) -> None:
        """Copy what interrupted shards have, as far as that is quickly done, and end them."""
        from ray.exceptions import RayError

        for attempt in self.running:
            try:
                self.copy_all(attempt, seconds=LAST_SECONDS / max(1, len(self.running)))
            except RayError:
                continue
            finally:
                self.ray.kill(attempt.actor)

    def tell(self) -> None:
        """How far all are together, by what is being done."""
        if self.progress is None:
            return
        for what in dict.fromkeys(what for told in self.told.values() for what in told):
            every = [told[what] for told in self.told.values() if what in told]
            self.progress(what, sum(done for done, _ in every), sum(total for _, total in every))
