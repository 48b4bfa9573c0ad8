"""A disk that is full in the middle of a run: one error, and nothing measured is lost."""

from __future__ import annotations

import resource
import subprocess
import sys
from functools import partial
from pathlib import Path

from equivcheck.records.records_file import read_evidence
from tests.unit.source import ROOT

ROOM = 20_000
"""Bytes of the largest file that can be written: enough for the first answers."""


def run(out: Path, *, room: int | None = None) -> subprocess.CompletedProcess[str]:
    """The command as it is called, where no file takes more than `room` bytes."""
    limits = (resource.RLIM_INFINITY if room is None else room, resource.RLIM_INFINITY)
    return subprocess.run(
        (sys.executable, "-m", "equivcheck", "run", "suites/smoke.jsonl", "--out", str(out)),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=partial(resource.setrlimit, resource.RLIMIT_FSIZE, limits),
    )


def answers(records: Path) -> dict[tuple[str, str], object]:
    """By arm and request."""
    captured = read_evidence(records).captured
    return {(arm, key): answer for arm in captured for key, answer in captured[arm].items()}


def test_a_full_disk_is_named_and_the_run_goes_on_once_there_is_room(tmp_path: Path) -> None:
    records = tmp_path / "records.jsonl"
    stopped = run(tmp_path, room=ROOM)
    assert (stopped.returncode, stopped.stdout) == (2, "")
    assert stopped.stderr == f"equivcheck: {records}: cannot be written: File too large\n"
    kept = read_evidence(records)
    before = {
        (arm, key): answer for arm in kept.captured for key, answer in kept.captured[arm].items()
    }
    assert before
    done = run(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert before.items() <= answers(records).items()
