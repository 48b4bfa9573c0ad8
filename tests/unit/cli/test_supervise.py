"""No exit code 0 without a verdict on disk, whatever the process that runs the engines does."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.unit.source import ROOT

HEAD = """
import atexit, os, signal, sys, threading, time
from pathlib import Path
from equivcheck.cli.supervise import rests_on, supervised

# A shell has what it starts in the background ignore it.
signal.signal(signal.SIGINT, signal.default_int_handler)

def refuse(why):
    print("refused:", why, file=sys.stderr)
    return 2

def work():
"""
TAIL = """
sys.exit(supervised(work, refuse=refuse))
"""
FOREVER = "time.sleep(600)"

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


def start(body: str, folder: Path) -> subprocess.Popen[str]:
    """A process whose verb is ``body``, in ``folder``."""
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    return subprocess.Popen(
        [sys.executable, "-c", HEAD + lines + TAIL],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(body: str, folder: Path) -> tuple[int, str]:
    """Its exit code and what it said on stderr."""
    process = start(body, folder)
    _, said = process.communicate(timeout=120)
    return process.returncode, said


def wait_for(path: Path) -> str:
    """What a process writes to a file, once it is there."""
    for _ in range(1200):
        if path.exists() and (text := path.read_text()):
            return text
        time.sleep(0.05)
    raise AssertionError(f"{path} never came")


@pytest.mark.parametrize("code", [0, 1, 2, 3, 130])
def test_what_a_verb_returns_is_the_exit_code(code: int, tmp_path: Path) -> None:
    assert ended(f"return {code}", tmp_path) == (code, "")


@pytest.mark.parametrize(
    ("body", "how"),
    [
        ("os._exit(0)", "left with exit code 0"),
        ("os.execv('/bin/true', ['true'])", "left with exit code 0"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "was ended by signal 9 (SIGKILL)"),
        ("raise SystemExit(0)", "left with exit code 2"),
    ],
)
def test_a_verb_that_leaves_before_it_is_done_could_not_run(
    body: str, how: str, tmp_path: Path
) -> None:
    code, said = ended(body, tmp_path)
    assert code == 2
    assert f"refused: the process that ran the engines {how} before a verdict" in said


@pytest.mark.parametrize(
    "left",
    [
        "atexit.register(os._exit, 0)",
        f"threading.Thread(target=lambda: {FOREVER}).start()",
        f"if os.fork() == 0:\n    os.close(1); os.close(2); {FOREVER}; os._exit(0)",
    ],
    ids=["exit handler", "thread", "process"],
)
def test_what_an_engine_leaves_behind_changes_no_exit_code(left: str, tmp_path: Path) -> None:
    body = f"Path('pid').write_text(str(os.getpid()))\n{left}\nreturn 1"
    try:
        assert ended(body, tmp_path)[0] == 1
    finally:
        # A process that was left behind is of the verb's group.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(int((tmp_path / "pid").read_text()), signal.SIGKILL)


def test_a_pass_that_no_records_hold_is_none(tmp_path: Path) -> None:
    code, said = ended("rests_on(Path('run'))\nreturn 0", tmp_path)
    assert code == 2
    assert "the records do not end with the verdict that was printed" in said


@pytest.mark.parametrize(("outcome", "expected"), [("pass", 0), ("fail", 2), ("inconclusive", 2)])
def test_the_verdict_on_disk_has_the_last_word(outcome: str, expected: int, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    verdict = {"type": "verdict", "outcome": outcome, "headline": "", "counts": {}}
    (tmp_path / "run" / "records.jsonl").write_text(json.dumps(verdict) + "\n")
    assert ended("rests_on(Path('run'))\nreturn 0", tmp_path)[0] == expected


def test_a_run_that_went_elsewhere_is_named(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    code, said = ended("rests_on(Path('run'))\nos.chdir('elsewhere')\nreturn 0", tmp_path)
    assert code == 2
    assert (
        f"an engine changed the working directory: the run is in {tmp_path}/elsewhere/run" in said
    )


def test_an_interrupt_reaches_the_verb_once(tmp_path: Path) -> None:
    process = start(
        f"try:\n    Path('pid').write_text('there')\n    {FOREVER}\n"
        "except KeyboardInterrupt:\n    time.sleep(0.5)\n    return 130",
        tmp_path,
    )
    wait_for(tmp_path / "pid")
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60) == ("", "")
    assert process.returncode == 130


@pytest.mark.skipif(sys.platform != "linux", reason="the system ends no child with its parent")
def test_the_verb_ends_with_its_parent(tmp_path: Path) -> None:
    process = start(f"Path('pid').write_text('there')\n{FOREVER}", tmp_path)
    wait_for(tmp_path / "pid")
    process.kill()
    # Comes to an end only when nobody holds the pipes any more: the verb sleeps for ten minutes.
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
