"""What findings are about: cases gathered by workload, and the command that repeats one."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable
from typing import TypeVar

from equivcheck.records import CANDIDATE, TARGET, Evidence

RUN = "run"
"""Subject of a finding about everything at once."""

Item = TypeVar("Item")


def by_workload(
    evidence: Evidence, items: Iterable[Item], *, key: Callable[[Item], str]
) -> dict[str, list[Item]]:
    """Gather items by their case's workload, workloads in the order of the suites."""
    gathered: dict[str, list[Item]] = {asked.workload: [] for asked in evidence.asked.values()}
    for item in items:
        gathered[evidence.asked[key(item)].workload].append(item)
    return {workload: found for workload, found in gathered.items() if found}


def repeat_command(evidence: Evidence, key: str) -> str:
    """The shell command that repeats one case of this run."""
    return command("replay", evidence.header.run, key)


def command(*words: str) -> str:
    """A verb and its words as one can paste them into a shell: records may be anybody's."""
    return shlex.join(["equivcheck", *words])


def shared_contract(evidence: Evidence, *, arm: str = CANDIDATE, base: str = TARGET) -> str | None:
    """The identity contract that both arms name; None where they do not name the same one."""
    arms = evidence.header.arms
    if arm not in arms or base not in arms:
        return None
    ours, theirs = arms[arm].identity, arms[base].identity
    return ours if ours == theirs else None


def plural(count: int, noun: str) -> str:
    """``1 case``, ``2 cases``, ``13,312 tokens``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
