"""Attacking engines installed as adapters are: by entry point, in a folder on the path."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from importlib.metadata import distributions
from pathlib import Path

from tests.attack.make import ROOT

ENGINES = {
    "attacker": "tests.attack.attacker:open_engine",
    "leaver": "tests.attack.leaver:open_engine",
}


def install(folder: Path) -> dict[str, str]:
    """Put the engines into `folder`; returns the environment in which they are found."""
    installed = folder / "attackers-1.0.dist-info"
    installed.mkdir(parents=True)
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: attackers\nVersion: 1.0\n")
    told = "".join(f"{name} = {where}\n" for name, where in ENGINES.items())
    (installed / "entry_points.txt").write_text(f"[equivcheck.engines]\n{told}")
    return {"PYTHONPATH": os.pathsep.join([str(ROOT), str(folder)])}


def install_here(folder: Path) -> None:
    """The same for this process and those that it starts; once is enough."""
    if "attackers" in {found.metadata["Name"] for found in distributions()}:
        return
    os.environ |= install(folder)
    sys.path[:0] = [str(ROOT), str(folder)]


def make_project(
    folder: Path, *, cases: Iterable[str], candidate: str, seconds: float | None = None
) -> None:
    """Settings and a suite, with the attacker for a target; `seconds`: limit of each call."""
    folder.mkdir(parents=True, exist_ok=True)
    limits = ""
    if seconds is not None:
        each = "".join(f"{call}_seconds = {seconds}\n" for call in ("open", "answer", "close"))
        limits = f"[clock]\n{each}token_seconds = 0\n"
    (folder / "equivcheck.toml").write_text(
        f'target = "attacker:drafts=false"\ncandidate = "{candidate}"\ncontrol = "none"\n'
        f"probe_every = 99\nrescore_every = 99\n[setup]\nthreads = 1\n{limits}"
    )
    asked = [{"id": name, "prompt": "def f(", "max_new_tokens": 8} for name in cases]
    lines = [{"equivcheck": 1, "workload": "code"}, *asked]
    (folder / "suite.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
