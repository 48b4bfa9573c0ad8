"""Children that are followed: what they reported counts, however late they are looked at."""

from __future__ import annotations

from pathlib import Path

import pytest

from equivcheck.core.graders import Graded, GradingError, GradingLimits
from equivcheck.grading.children import Child, follow

SAYS = """printf '{"stage":"limited"}\\n{"stage":"judged","passed":true}\\n' > /dev/fd/REPORT"""


def ended(script: str, folder: Path) -> Child:
    """A child that has done its work before anybody listens, as on a busy machine."""
    child = Child(["/bin/sh", "-c", script], job={}, folder=str(folder))
    child.process.wait()
    return child


def test_a_verdict_of_a_child_that_has_ended_counts(tmp_path: Path) -> None:
    child = ended(SAYS, tmp_path)
    try:
        assert follow([child], limits=GradingLimits()) == Graded(True, "")
    finally:
        child.end()


def test_a_child_that_ended_without_a_word_did_not_start(tmp_path: Path) -> None:
    child = ended("echo no such thing; exit 3", tmp_path)
    try:
        with pytest.raises(GradingError, match="does not start: no such thing"):
            follow([child], limits=GradingLimits())
    finally:
        child.end()
