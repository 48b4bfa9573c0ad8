"""One fault or control to run: what is asked of it, with which seed, under which code."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from equivcheck.cases import Suite
from equivcheck.faults.catalogue import find
from equivcheck.faults.fault import Fault
from equivcheck.proving.rigs import Rig, rig_of, suites_of

SOURCES = ("decoding", "faults", "checks", "proving", "statistics")
"""Rooms whose code decides a result."""

ASKING_AGAIN = ("determinism", "batching")
"""Checks that live by asking the same again."""
TURNS = ("plain", "sampled", "penalised", "mixed", "budgets", "repeats", "endings", "borders")
"""Schedules that further seeds of controls take in turn."""


class Job(NamedTuple):
    """One run of one entry of the catalogue; small enough to be sent to another process."""

    id: str
    seed: int
    schedules: tuple[str, ...]
    code: str
    """`code_digest` when the job was made: code that changes later does not count as having run."""
    brief: bool = False
    """Whether only one token a schedule is asked again and in other company, in place of all."""

    @property
    def entry(self) -> Fault:
        """Its entry in the catalogue."""
        return find(self.id)

    @property
    def rig(self) -> Rig:
        """What it is held against."""
        return rig_of(self.entry)

    @property
    def suites(self) -> tuple[Suite, ...]:
        """Its schedules, written."""
        return suites_of(self.schedules, seed=self.seed, opened=self.brief)

    @property
    def digest(self) -> str:
        """Of all that decides its result."""
        suites = [suite.digest for suite in self.suites]
        entry = self.entry
        parts = (self.code, entry.candidate, entry.draws, self.rig.settings, suites)
        return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:16]

    def sound_folder(self, out: Path) -> Path:
        """Where the sound arms of its rig are kept."""
        return out / "sound" / f"{self.rig.name}-{self.seed}"

    def run_folder(self, out: Path) -> Path:
        """Where its own run goes."""
        return out / "runs" / (self.id if self.seed == 0 else f"{self.id}-{self.seed}")


def jobs_of(entries: Sequence[Fault], *, quick: bool, seeds: int) -> list[Job]:
    """Every entry with every seed, the first with all that it can be asked.

    A fault has all schedules of its rig with the first seed, unless it has to be quick, and those
    made for it with the others. A control has its own with the first and one of them with each of
    the others.
    """
    jobs = []
    for entry in entries:
        sound = entry.breaks == "nothing"
        brief = quick and not sound and entry.caught_by not in ASKING_AGAIN
        for seed in range(seeds):
            schedules = entry.asked
            if seed == 0 and not (quick or sound):
                schedules = rig_of(entry).schedules
            elif seed > 0 and sound:
                schedules = (in_turn(entry, seed=seed),)
            jobs.append(Job(entry.id, seed, schedules, code_digest(), brief))
    return jobs


def in_turn(entry: Fault, *, seed: int) -> str:
    """The schedule of a further seed: the same for all controls that have it."""
    name = TURNS[seed % len(TURNS)]
    return name if name in entry.asked else entry.asked[seed % len(entry.asked)]


@functools.cache
def code_digest() -> str:
    """sha256 of the code that decides a result."""
    package = Path(__file__).parent.parent
    digest = hashlib.sha256()
    for room in SOURCES:
        for file in sorted((package / room).rglob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()
