"""Waiting threads soon sleep, unless the user wants them otherwise or torch has started them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from equivcheck.capture.threads import BRIEFLY, WAITING

REPORT = f"import os; print([os.environ.get(name) for name in {WAITING!r}])"


@pytest.mark.parametrize(
    ("first", "chosen", "found"),
    [
        ("", {}, [None, *BRIEFLY.values()]),
        ("", {"OMP_WAIT_POLICY": "ACTIVE"}, ["ACTIVE", None, None]),
        ("", {"GOMP_SPINCOUNT": "7"}, [None, "7", None]),
        ("import torch", {}, [None, None, None]),
    ],
    ids=["by default", "a policy", "a count", "too late"],
)
def test_how_long_threads_spin(first: str, chosen: dict[str, str], found: list[str | None]) -> None:
    environment = {k: v for k, v in os.environ.items() if k not in WAITING} | chosen
    program = (
        f"{first}\nfrom equivcheck.capture.threads import spin_briefly\nspin_briefly()\n{REPORT}"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str(found)


AS_TORCH_COMES = """
import importlib.abc, os, sys

class Watch(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            print(os.environ.get("GOMP_SPINCOUNT"), flush=True)
            os._exit(0)

sys.meta_path.insert(0, Watch())
"""
VERB = "from equivcheck.cli.main import main; main(['run', sys.argv[1]])"
PLUGIN = """
from equivcheck.core.settings import Settings
from equivcheck.plugin.making import Errand, make_run
make_run(Errand(settings=Settings(), suites=(), folder=sys.argv[1]))
"""
INSIDE_A_TEST = """
from equivcheck import Case, assert_equivalent
cases = [Case(id="one", prompt="a")]
assert_equivalent("native", "native:gamma=0", cases=cases, folder=sys.argv[1])
"""


@pytest.mark.parametrize("start", [VERB, PLUGIN, INSIDE_A_TEST], ids=["run", "pytest", "assert"])
def test_it_is_said_before_torch_is_imported(start: str, tmp_path: Path) -> None:
    suite = tmp_path / "one.jsonl"
    suite.write_text('{"equivcheck": 1, "workload": "w"}\n{"id": "one", "prompt": "a"}\n')
    given = suite if start is VERB else tmp_path
    command = [sys.executable, "-c", f"{AS_TORCH_COMES}\n{start}", str(given)]
    environment = {k: v for k, v in os.environ.items() if k not in WAITING}
    done = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == BRIEFLY["GOMP_SPINCOUNT"], done.stderr
