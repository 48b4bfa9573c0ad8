"""The record of a graded answer."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

GradeResult = Literal["right", "wrong", "off", "broken"]
"""off: grading would run code, and the settings do not allow that. broken: it could not be graded
on the machine of the run."""


class Grade(Struct, frozen=True, kw_only=True, tag="grade", omit_defaults=True):
    """Whether one answer is right by itself, whichever decoder gave it. A later grade counts."""

    key: str
    arm: str
    grader: str
    """Kind of grader: exact, regex, json, sql or python."""
    result: GradeResult
    why: str
    """What told; may hold words of the answer, to be escaped where shown."""

    @property
    def right(self) -> bool | None:
        """Whether the answer is right; None where it was not graded."""
        return {"right": True, "wrong": False}.get(self.result)
