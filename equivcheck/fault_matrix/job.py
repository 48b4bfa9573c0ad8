"""One fault or control to run: what is asked of it, with which seed, under which code."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from equivcheck.core.cases import Suite
from equivcheck.fault_matrix.rigs import Rig, rig_of, services_of, suites_of
from equivcheck.fault_matrix.service_schedules import Service
from equivcheck.faults.catalogue import CONTROLS, find
from equivcheck.faults.fault import Fault

SOURCES = ("decoding", "serving", "faults", "checks", "fault_matrix", "statistics")
"""Rooms whose code decides a result."""

ASKING_AGAIN = ("determinism", "batching")
"""Checks that live by asking the same again."""
TURNS = ("plain", "sampled", "penalised", "mixed", "budgets", "repeats", "endings", "borders")
"""Schedules that controls take in turn, where they take one."""


class TrialJob(NamedTuple):
    """One run of one entry of the catalogue; small enough to be sent to another process."""

    id: str
    seed: int
    schedules: tuple[str, ...]
    code: str
    """`code_digest` when the job was made: code that changes later does not count as having run."""
    quick: bool = False
    """Whether it may leave out what is not needed to be caught by the designated check."""

    @property
    def entry(self) -> Fault:
        """Its entry in the catalogue."""
        return find(self.id)

    @property
    def rig(self) -> Rig:
        """What it is compared with."""
        return rig_of(self.entry)

    @property
    def brief(self) -> bool:
        """Whether only one token a schedule is asked again and in other company, not all cases."""
        entry = self.entry
        return self.quick and entry.breaks != "nothing" and entry.caught_by not in ASKING_AGAIN

    @property
    def suites(self) -> tuple[Suite, ...]:
        """Its schedules, written."""
        return suites_of(self.schedules, seed=self.seed, opened=self.brief)

    @property
    def services(self) -> tuple[Service, ...]:
        """Its schedules, written, where it is served."""
        return services_of(self.schedules, seed=self.seed)

    @property
    def digest(self) -> str:
        """Digest of all that decides its result."""
        suites = [each.digest for each in (self.services if self.entry.serves else self.suites)]
        entry = self.entry
        parts = (self.code, entry.candidate, entry.draws, self.rig.settings, suites, self.quick)
        return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:16]

    def sound_folder(self, out: Path) -> Path:
        """Where the sound arms of its rig are kept."""
        return out / "sound" / f"{self.rig.name}-{self.seed}"

    def run_folder(self, out: Path) -> Path:
        """Where its own run goes."""
        return out / "runs" / (self.id if self.seed == 0 else f"{self.id}-{self.seed}")


def jobs_of(entries: Sequence[Fault], *, quick: bool, seeds: int) -> list[TrialJob]:
    """Every entry with every seed."""
    return [
        TrialJob(entry.id, seed, schedules_of(entry, seed=seed, quick=quick), code_digest(), quick)
        for entry in entries
        for seed in range(seeds)
    ]


def schedules_of(entry: Fault, *, seed: int, quick: bool) -> tuple[str, ...]:
    """What an entry is asked with a seed.

    A fault is asked what is made for it, and with the first seed all that its rig has, unless it
    has to be quick. A control is asked its own schedules with the first seed and one of them with
    each of the others; to be quick, one with each.
    """
    if entry.breaks != "nothing":
        return entry.asked if quick or seed else rig_of(entry).schedules
    if quick:
        # Each control another one, of those that are captured for faults anyway.
        return (in_turn(entry, turn=CONTROLS.index(entry) + seed),)
    return (in_turn(entry, turn=seed),) if seed else entry.asked


def in_turn(entry: Fault, *, turn: int) -> str:
    """One of a control's schedules; in the same turn the same for all controls that have it."""
    name = TURNS[turn % len(TURNS)]
    return name if name in entry.asked else entry.asked[turn % len(entry.asked)]


@functools.cache
def code_digest() -> str:
    """sha256 of the code that decides a result."""
    package = Path(__file__).parent.parent
    digest = hashlib.sha256()
    for room in SOURCES:
        for file in sorted((package / room).rglob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()
