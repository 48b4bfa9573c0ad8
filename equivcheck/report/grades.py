"""What the answers were graded: part of the view, and absent where nothing was."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from msgspec import Struct

from equivcheck.checks.score import graded
from equivcheck.records.records import Evidence

GRADE_HEADER = ("graded answers", "target right", "candidate right", "graded the same")


class GradeRow(Struct, frozen=True, kw_only=True):
    """One workload's grades. Answers that could not be graded are the gate's business."""

    workload: str
    cases: int
    """Graded on both arms."""
    target: int
    """Cases that the target got right."""
    candidate: int
    same: int
    off: int
    """Cases not graded, as that runs their answers' code and the settings do not allow it."""


def grade_rows(evidence: Evidence) -> Iterator[GradeRow]:
    """The workloads in which something was graded, or would be under other settings."""
    workloads = {key: asked.workload for key, asked in evidence.asked.items()}
    off = Counter(
        workloads[key] for key in {grade.key for grade in evidence.grades if grade.result == "off"}
    )
    cases = graded(evidence)
    for workload in dict.fromkeys(workloads.values()):
        own = [case for case in cases if workloads[case.key] == workload]
        if own or off[workload]:
            yield GradeRow(
                workload=workload,
                cases=len(own),
                target=sum(case.target.right is True for case in own),
                candidate=sum(case.candidate.right is True for case in own),
                same=sum(not case.differs for case in own),
                off=off[workload],
            )


def grade_cells(row: GradeRow) -> tuple[str, ...]:
    """Workload, right answers of target and candidate, and how many cases agree."""
    if not row.cases:
        return (row.workload, *["n/a"] * 3)
    counts = (row.target, row.candidate, row.same)
    return (row.workload, *(f"{count}/{row.cases}" for count in counts))


def off_words(rows: tuple[GradeRow, ...]) -> str | None:
    """What was left ungraded on purpose, and how to change that; None: nothing was."""
    off = sum(row.off for row in rows)
    if not off:
        return None
    cases = "1 case is" if off == 1 else f"{off} cases are"
    return (
        f"{cases} not graded: the grader would run the answer's code, "
        "which the setting grade_code = true allows"
    )
