"""Shards: a run shared out by cases over processes, and the parts of a merged run. Pure.

Cases are dealt out by their keys, before anything is asked: which shard has a case follows from the
selected cases and the number of shards alone.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct

from equivcheck.core.errors import SettingsError

if TYPE_CHECKING:
    from equivcheck.records.records import Header

AUTO = "auto"
MOST = 100_000
"""Shards of one run."""
_NUMBERS = re.compile(r"(\d{1,6})/(\d{1,6})")
_COUNTED = re.compile(r"auto/(\d{1,6})")


class Which(NamedTuple):
    """One shard of so many."""

    number: int
    """From 1."""
    of: int

    @property
    def folder(self) -> str:
        """Name of the shard's folder, which sorts by number."""
        return f"shard-{self.number:0{len(str(self.of))}}-of-{self.of}"


class Shard(Struct, frozen=True, kw_only=True):
    """That a run is one shard, and of what."""

    index: int
    """From 1."""
    of: int
    keys: tuple[str, ...]
    """Every selected case of the whole run, in the order of the suites."""
    leaders: dict[str, str] = {}
    """Key of each case that belongs to an earlier one to that of the first."""

    @property
    def cases(self) -> frozenset[str]:
        """Those of `keys` that are this shard's."""
        return dealt(self.keys, of=self.of, leaders=self.leaders)[self.index - 1]


class Part(Struct, frozen=True, kw_only=True):
    """One shard of a merged run, as it was when it was merged."""

    index: int
    run: str
    created: str
    keys: tuple[str, ...]
    """Its cases, in the order of the suites."""
    environment: dict[str, str]
    seal: str
    """Seal of its last line: stands for every line of its records."""
    evidence: str
    """`evidence_digest` of it."""
    scores: str | None = None
    """sha256 of the file with its scores, hex; None: it has none."""
    draw_seed: int = 0


def dealt(keys: Collection[str], *, of: int, leaders: Mapping[str, str]) -> list[frozenset[str]]:
    """Cases of each shard: sorted by the sha256 of their keys and dealt out one by one.

    So sizes differ by one at most, and each shard gets of every suite about its share. Cases
    that belong to an earlier one go where that one, their leader, goes.
    """
    first = [key for key in keys if key not in leaders]
    mixed = sorted(first, key=lambda key: hashlib.sha256(key.encode()).digest())
    place = {key: number % of for number, key in enumerate(mixed)}
    shards: list[set[str]] = [set() for _ in range(of)]
    for key in keys:
        shards[place[leaders.get(key, key)]].add(key)
    return list(map(frozenset, shards))


def read_which(text: str, environment: Mapping[str, str]) -> Which:
    """Read ``2/5``; or ``auto``, ``auto/5`` from the variables of SLURM arrays or indexed jobs.

    A SLURM array tells its number of tasks; Kubernetes does not, so ``auto/5`` gives it. With
    ``auto/5`` tasks of a SLURM array are taken to be numbered from 1.

    Raises:
        SettingsError: it is neither, or lies outside; says what is expected.
    """
    if found := _NUMBERS.fullmatch(text):
        which = Which(*map(int, found.groups()))
    elif text == AUTO or _COUNTED.fullmatch(text):
        counted = _COUNTED.fullmatch(text)
        which = _from_environment(int(counted[1]) if counted else None, environment)
    else:
        raise SettingsError(f"--shard {text!r}: expected I/N such as 2/5, auto or auto/N")
    if not 1 <= which.number <= which.of <= MOST:
        raise SettingsError(f"--shard {which.number}/{which.of}: expected 1 <= I <= N <= {MOST}")
    return which


def _from_environment(of: int | None, environment: Mapping[str, str]) -> Which:
    if "SLURM_ARRAY_TASK_ID" in environment:
        if of is not None:
            # A part of an array that is submitted again keeps its numbers, and tells other sizes.
            return Which(_number(environment, "SLURM_ARRAY_TASK_ID"), of)
        first, step = (
            _number(environment, name, default)
            for name, default in (("SLURM_ARRAY_TASK_MIN", 1), ("SLURM_ARRAY_TASK_STEP", 1))
        )
        place = (_number(environment, "SLURM_ARRAY_TASK_ID") - first) // max(1, step)
        return Which(place + 1, _number(environment, "SLURM_ARRAY_TASK_COUNT"))
    if "JOB_COMPLETION_INDEX" in environment:
        if of is None:
            raise SettingsError("--shard auto: an indexed job does not tell its size; say auto/N")
        return Which(_number(environment, "JOB_COMPLETION_INDEX") + 1, of)
    raise SettingsError(
        "--shard auto: neither SLURM_ARRAY_TASK_ID nor JOB_COMPLETION_INDEX is set; say I/N"
    )


def _number(environment: Mapping[str, str], name: str, default: int | None = None) -> int:
    told = environment.get(name)
    if told is None and default is not None:
        return default
    if told is None or not re.fullmatch(r"\d{1,9}", told):
        raise SettingsError(f"--shard auto: {name} is {told!r}, expected a number")
    return int(told)


def groups_of(header: Header, cases: Sequence[str]) -> list[tuple[str, ...]]:
    """Cases that were asked and drawn beside each other: by part of a merged run, else all."""
    if not header.merged:
        return [tuple(cases)]
    wanted = set(cases)
    found = (tuple(key for key in part.keys if key in wanted) for part in header.merged)
    return [group for group in found if group]
