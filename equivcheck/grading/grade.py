"""Grades one answer: `grade`. Everything but comparing two texts is left to a limited child.

Does not know cases, arms or runs; what a grade means for a decoder is decided elsewhere.
"""

from __future__ import annotations

from typing import Any

import msgspec

from equivcheck.core.escape import head
from equivcheck.core.graders import (
    Exact,
    Graded,
    Grader,
    GradingLimits,
    Python,
    Regex,
)
from equivcheck.grading.fences import unfenced
from equivcheck.grading.sandbox import look, run_code

_SHOWN_CELLS = 80
_NO_LIMITS = GradingLimits()


def grade(answer: str, *, grader: Grader, limits: GradingLimits = _NO_LIMITS) -> Graded:
    """Say whether ``answer``, the text of one generation, is right.

    An answer that cannot be decided within ``limits`` has failed. Code, queries and JSON may stand
    in a Markdown fence; exact and regex take the text as it is.

    Raises:
        GradingError: code cannot be contained on this machine, or the grader is unusable
            (its schema is none, its fixture is broken, `jsonschema` is missing).
    """
    if isinstance(grader, Exact):
        return _exact(answer, expected=grader.answer)
    if isinstance(grader, Regex):
        return look(_job(grader, answer), limits=limits)
    text = grader.prefix + unfenced(answer, begun=bool(grader.prefix))
    if not isinstance(grader, Python):
        return look(_job(grader, text), limits=limits)
    if not text.strip():
        return Graded(False, "no code")
    return run_code(text, tests=grader.tests, limits=limits)


def _job(grader: Grader, text: str) -> dict[str, Any]:
    """What the child is told: the grader's own fields, and the text that they are about."""
    return {**msgspec.to_builtins(grader), "text": text}


def _exact(answer: str, *, expected: str) -> Graded:
    if answer.strip() == expected.strip():
        return Graded(True, "is the expected text")
    shown, wanted = (head(text.strip(), cells=_SHOWN_CELLS) for text in (answer, expected))
    return Graded(False, f"is '{shown}', not '{wanted}'")
