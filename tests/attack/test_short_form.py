"""The short form of ``make attack``: the same attacks with fewer tries."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.attack.make import ROOT

KINDS = {"fuzz": 700, "kills": 8, "engines": 12, "answers": 160, "flips": 60}
"""By kind, the least tries of the short form."""
SCALES = {"fuzz": 0.014, "kills": 0.04, "engines": 0.07, "answers": 0.8, "flips": 0.06}


@pytest.mark.parametrize("kind", KINDS)
def test_no_try_fails(kind: str, tmp_path: Path) -> None:
    told = tmp_path / "told.json"
    command = [sys.executable, "-m", "tests.attack", "--only", kind, "--kept", str(told)]
    done = subprocess.run(
        [*command, "--scale", str(SCALES[kind]), "--out", str(tmp_path / "attack.md")],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=1200,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    tallies: list[dict[str, Any]] = json.loads(told.read_text())
    assert [failure for tally in tallies for failure in tally["failures"]] == []
    assert sum(tally["tries"] for tally in tallies) >= KINDS[kind]
    assert (tmp_path / "attack.md").read_text().startswith("# Attack\n")
