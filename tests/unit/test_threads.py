"""OpenMP's wait policy: set before torch comes, never over the user's own choice."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

REPORT = "import os; print(os.environ.get('OMP_WAIT_POLICY'))"


@pytest.mark.parametrize(
    ("chosen", "first", "expected"),
    [(None, "", "PASSIVE"), ("ACTIVE", "", "ACTIVE"), (None, "import torch", "None")],
)
def test_waiting_threads_sleep_unless_told_otherwise(
    chosen: str | None, first: str, expected: str
) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
    if chosen:
        environment["OMP_WAIT_POLICY"] = chosen
    program = f"{first}\nfrom equivcheck.threads import wait_without_spinning as wait\nwait()"
    result = subprocess.run(
        [sys.executable, "-c", f"{program}\n{REPORT}"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.strip() == expected
