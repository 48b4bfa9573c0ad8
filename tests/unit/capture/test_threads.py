"""Waiting threads soon sleep, unless the user wants them otherwise or torch has started them."""

from __future__ import annotations

import os
import subprocess
import sys

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
