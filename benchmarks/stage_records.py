"""How stages of a measurement ended, and by which code: one line a beginning or end.

A stage that was begun and has no end was interrupted, or took its process with it.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path

import msgspec

from equivcheck.records.journal import whole_lines, write_anew, write_line

NAME = "stages.jsonl"
FRESH, OUT = "--fresh", "--out"
ROOT = Path(__file__).parents[1]
MEASURING = {"equivcheck": "*.py", "benchmarks": "*.py", "suites": "*.jsonl"}
TESTING = {"tests": "*.py"}


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """A stage that was begun, or has ended."""

    stage: str
    command: str
    code: str = ""
    """Digest of the source that ran; empty in records from before it was kept."""
    exit: int | None = None
    """None: it was given up, or has not ended. Below 0: the signal that ended its process."""
    seconds: float = 0.0
    torch: str = ""
    ended: bool = True

    def is_of(self, command: Sequence[str]) -> bool:
        """Whether it measures what a command would."""
        return measures(self.command.split(" ")) == measures(command)

    @property
    def words(self) -> str:
        """How it ended."""
        if not self.ended:
            return "did not end"
        how = "gave up" if self.exit is None else f"exit {self.exit}"
        return f"{how} after {self.seconds} s"


@functools.cache
def code_of(module: str) -> str:
    """Digest of what a stage of this module runs: this source, torch, and pytest's own files."""
    digest = hashlib.sha256(version("torch").encode())
    for folder, pattern in (MEASURING | (TESTING if module == "pytest" else {})).items():
        for file in sorted((ROOT / folder).rglob(pattern)):
            digest.update(str(file.relative_to(ROOT)).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:12]


def measures(command: Sequence[str]) -> list[str]:
    """What a command measures: without where its records go, and whether they begin anew."""
    kept = [word for word in command if word != FRESH]
    if OUT in kept:
        at = kept.index(OUT)
        del kept[at : at + 2]
    return kept


def record_of(
    name: str,
    command: Sequence[str],
    *,
    exit: int | None = None,
    seconds: float = 0.0,
    ended: bool = True,
) -> Ended:
    """The record of a stage, by the code here."""
    return Ended(
        stage=name,
        command=" ".join(word for word in command if word != FRESH),
        code=code_of(command[0]),
        exit=exit,
        seconds=round(seconds, 1),
        torch=version("torch"),
        ended=ended,
    )


def records(folder: Path) -> list[Ended]:
    """All of them, in the order of writing."""
    path = folder / NAME
    if not path.is_file():
        return []
    return [msgspec.json.decode(line.text, type=Ended) for line in whole_lines(path)]


def last_records(folder: Path) -> dict[str, Ended]:
    """Stage to its last record, of those that were begun."""
    return {record.stage: record for record in records(folder)}


def append(folder: Path, record: Ended) -> None:
    """Write a record down. Several processes may do so at a time."""
    with (folder / NAME).open("ab", buffering=0) as file:
        write_line(file, msgspec.json.encode(record))


def keep(folder: Path, *, forgotten: Iterable[str] = ()) -> None:
    """Write all whole lines anew, but for those of the stages that are to be `forgotten`."""
    dropped = set(forgotten)
    kept = [record for record in records(folder) if record.stage not in dropped]
    write_anew(folder / NAME, map(msgspec.json.encode, kept))


def log_of(folder: Path, name: str) -> list[str]:
    """The lines of what a stage said."""
    path = folder / f"{name}.log"
    return path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []


def last_words(folder: Path, name: str) -> str:
    """The last line that says anything."""
    said = (line for line in reversed(log_of(folder, name)) if line.strip())
    return next(said, "it said nothing")


def told(folder: Path, record: Ended) -> str:
    """A stage's end for the terminal, with its last words where it failed."""
    if record.exit == 0:
        return f"{record.stage}: {record.words}"
    return f"{record.stage}: {record.words}: {last_words(folder, record.stage)}"
