"""Grade what target and candidate answered, and add the grades to the run's records.

Part of capture: a grader may run code, which no check does. Equal texts are graded once, so a
grader's own noise is no difference between the arms. What is graded already is not graded again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from equivcheck.core.cases import Suite
from equivcheck.core.generation import Request
from equivcheck.core.graders import Grader, GradingError, Python
from equivcheck.grading.grade import grade
from equivcheck.records.records import (
    CANDIDATE,
    TARGET,
    Evidence,
    GenerationRecord,
    Grade,
    GradeResult,
)
from equivcheck.records.records_file import RecordsWriter, read_evidence

GRADING = "grading"
OFF = "it would run the answer's code, which grade_code = true allows"


class GradingJob(NamedTuple):
    """One text to grade, and the arms that gave it."""

    key: str
    grader: Grader
    text: str
    arms: list[str]


def grade_answers(
    path: Path,
    suites: Sequence[Suite],
    *,
    progress: Callable[[str, int, int], None] | None = None,
) -> None:
    """Add what is missing of grades to the records of a run over ``suites``.

    Raises:
        RecordsError: the records cannot be read.
    """
    graders = {
        suite.key(case): case.grader for suite in suites for case in suite.cases if case.grader
    }
    if not graders:
        return
    evidence = read_evidence(path, compact=True)
    jobs = list(jobs_of(evidence, graders))
    if not jobs:
        return
    code_allowed = evidence.header.settings.grade_code
    writer, _ = RecordsWriter.resume(path, evidence.header, compact=True)
    with writer:
        for done, job in enumerate(jobs, start=1):
            writer.append(*_grades(job, code_allowed=code_allowed))
            if progress:
                progress(GRADING, done, len(jobs))


def jobs_of(evidence: Evidence, graders: dict[str, Grader]) -> Iterator[GradingJob]:
    """What is left to grade, in the order of the suites; one job for arms that agree."""
    done = {(found.key, found.arm) for found in evidence.grades if found.result != "broken"}
    for key in evidence.asked:
        if key not in graders:
            continue
        jobs: dict[str, GradingJob] = {}
        for arm in (TARGET, CANDIDATE):
            captured = evidence.captured.get(arm, {}).get(key)
            if captured is None or (key, arm) in done:
                continue
            text = answer_of(captured, evidence.asked[key].request)
            jobs.setdefault(text, GradingJob(key, graders[key], text, [])).arms.append(arm)
        yield from jobs.values()


def answer_of(captured: GenerationRecord, request: Request) -> str:
    """The text that is graded: without the stop string that ended it, or what follows that."""
    if captured.generation.finish_reason != "stop":
        return captured.text
    starts = [at for stop in request.stop if (at := captured.text.find(stop)) >= 0]
    return captured.text[: min(starts, default=len(captured.text))]


def _grades(job: GradingJob, *, code_allowed: bool) -> list[Grade]:
    if isinstance(job.grader, Python) and not code_allowed:
        return [_grade(job, arm, result="off", why=OFF) for arm in job.arms]
    try:
        found = grade(job.text, grader=job.grader)
    except GradingError as error:
        return [_grade(job, arm, result="broken", why=str(error)) for arm in job.arms]
    result: GradeResult = "right" if found.passed else "wrong"
    return [_grade(job, arm, result=result, why=found.why) for arm in job.arms]


def _grade(job: GradingJob, arm: str, *, result: GradeResult, why: str) -> Grade:
    kind = str(job.grader.__struct_config__.tag)
    return Grade(key=job.key, arm=arm, grader=kind, result=result, why=why)
