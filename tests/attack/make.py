"""Runs and measurements on disk to be attacked, and the command line as a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from equivcheck.records.records import CANDIDATE, TARGET
from equivcheck.records.records_file import RECORDS_NAME, RecordsWriter
from tests.unit.make import (
    make_asked,
    make_captured,
    make_generation,
    make_header,
    make_request,
    make_steps,
)
from tests.unit.seals import reseal

ROOT = Path(__file__).parents[2]
KEYS = ("code/one", "code/two", "code/three")
Change = Callable[[dict[str, Any]], object]
"""Changes one line's record in place."""


class Done(NamedTuple):
    """What became of a command."""

    code: int
    out: str
    err: str


def equivcheck(*arguments: str, timeout: float = 60, **streams: Any) -> Done:
    """Run the command line in a process of its own; one that hangs fails the test."""
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | streams
    done = subprocess.run(
        [sys.executable, "-m", "equivcheck", *arguments],
        timeout=timeout,
        check=False,
        stdin=subprocess.DEVNULL,
        text=True,
        **streams,
    )
    return Done(done.returncode, done.stdout or "", done.stderr or "")


def make_run(folder: Path, *, differs: bool = False) -> Path:
    """A run that was captured and not judged yet; with `differs` its candidate is not lossless."""
    path = folder / RECORDS_NAME
    with RecordsWriter.create(path, make_header(planned={TARGET: KEYS, CANDIDATE: KEYS})) as writer:
        writer.append(*(make_asked(make_request(key)) for key in KEYS))
        for arm, steps in ((TARGET, ()), (CANDIDATE, make_steps((4, 1), (4, 1)))):
            for key in KEYS:
                other = differs and (arm, key) == (CANDIDATE, KEYS[1])
                tokens = (10, 11, 99, 13) if other else (10, 11, 12, 13)
                writer.append(make_captured(arm, make_generation(tokens, key=key, steps=steps)))
    return path


def change(path: Path, line: int, how: Change) -> None:
    """Change the record of a line, counted from 1, and seal all lines anew."""
    lines = path.read_text(encoding="utf-8").splitlines()
    record = json.loads(lines[line - 1])
    how(record)
    record.pop("seal", None)
    lines[line - 1] = json.dumps(record)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    reseal(path)
