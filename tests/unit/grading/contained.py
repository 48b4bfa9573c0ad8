"""Whether code can be graded on this machine, by asking bubblewrap itself and none of our code."""

from __future__ import annotations

import functools
import shutil
import subprocess

import pytest

from equivcheck.core.graders import Grader, Python
from equivcheck.grading.bubblewrap import HOW_TO_INSTALL

_TRIED = ["bwrap", "--unshare-all", "--unshare-user", "--disable-userns", "--ro-bind", "/", "/"]


@functools.cache
def why_not() -> str:
    """Why bubblewrap does not run here; empty where it does."""
    if shutil.which("bwrap") is None:
        return f"bubblewrap is not installed: {HOW_TO_INSTALL}"
    tried = subprocess.run([*_TRIED, "true"], capture_output=True, text=True, check=False)
    return f"bubblewrap does not run here: {tried.stderr.strip()}" if tried.returncode else ""


def skip_where_uncontained(grader: Grader) -> None:
    """Skip what grades code where nothing contains it."""
    if isinstance(grader, Python) and why_not():
        pytest.skip(why_not())


needs_bubblewrap = pytest.mark.skipif(bool(why_not()), reason=why_not())
