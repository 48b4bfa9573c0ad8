"""The process of an engine imports what every adapter imports, and no more."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ("torch", "transformers", "numpy", "scipy", "pytest", "click")


def test_it_needs_no_framework() -> None:
    code = (
        "import sys, equivcheck.engines.isolation.child\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
