"""One shard of a run on one machine: what a Ray actor does. Knows nothing of Ray.

Engines of all arms are opened in the actor's process, so that they sit on one machine. The shard is
run in one thread while another gives away what is new.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec import Struct

from equivcheck.capture.environment import GitState, from_checkout
from equivcheck.cluster.mirror import Have, News, Original, unpack
from equivcheck.core.cases import Suite
from equivcheck.core.errors import EngineGoneError, EquivcheckError, OtherRunError
from equivcheck.core.settings import Settings
from equivcheck.pipeline.run import run
from equivcheck.records.run_folder import clear, is_unfinished
from equivcheck.records.shards import Which


class Asked(Struct, frozen=True):
    """What every shard of a run is sent, as it is written down."""

    settings: Settings
    suites: tuple[Suite, ...]

    def packed(self) -> bytes:
        """Not pickled: records leave defaults out, which msgspec knows by their identity."""
        return msgspec.msgpack.encode(self)


class Job(NamedTuple):
    """A shard of a run."""

    asked: bytes
    """`Asked`, packed."""
    which: Which
    checkout: GitState | None
    """Of the machine that sent it."""
    directory: str
    """Where relative paths in settings begin, where there is such a folder on this machine."""


class Ended(NamedTuple):
    """How a shard ended."""

    error: str | None = None
    """None: it is done."""
    again: bool = False
    """Whether the engine was lost, so that the shard may be tried again."""


class Worker:
    """Runs one shard in a temporary folder."""

    def __init__(self, job: Job, files: dict[str, bytes]) -> None:
        """Lay out what an earlier try had got.

        Args:
            job: The shard.
            files: Path in the shard's folder to content.
        """
        self.job = job
        self._place = tempfile.TemporaryDirectory(prefix="equivcheck-")
        self.folder = Path(self._place.name) / job.which.folder
        self.progress: dict[str, tuple[int, int]] = {}
        unpack(self.folder, files)
        self._original = Original(self.folder)
        if Path(job.directory).is_dir():
            os.chdir(job.directory)

    def run(self) -> Ended:
        """Run the shard to its end, from where an earlier try had got if this machine is alike."""
        try:
            with from_checkout(self.job.checkout):
                try:
                    self._run(resume=is_unfinished(self.folder))
                except OtherRunError:
                    # Of a machine of another kind: answers of both would not be one shard's.
                    clear(self.folder)
                    self._run(resume=False)
        except EquivcheckError as error:
            return Ended(str(error), again=isinstance(error, EngineGoneError))
        return Ended()

    def news(self, have: Have) -> News:
        """What a copy of the shard's folder lacks."""
        return self._original.news(have, dict(self.progress))

    def _run(self, *, resume: bool) -> None:
        asked = msgspec.msgpack.decode(self.job.asked, type=Asked)
        run(
            asked.settings,
            asked.suites,
            self.folder,
            resume=resume,
            make_way=clear,
            which=self.job.which,
            progress=self._tell,
        )

    def _tell(self, what: str, done: int, total: int) -> None:
        self.progress[what] = (done, total)
