"""A run with everything in it that an export can tell."""

from __future__ import annotations

import msgspec

from equivcheck.checks.verdict import judge
from equivcheck.records.records import CANDIDATE, TARGET, Evidence, Grade, GradeResult
from equivcheck.report.export.prometheus import metrics_of
from tests.unit.report.test_report import make_run


def timed_run() -> Evidence:
    """The run of the report's tests, with times and two graded cases."""
    evidence = make_run()
    captured = {
        arm: {
            key: msgspec.structs.replace(
                answer,
                generation=msgspec.structs.replace(
                    answer.generation,
                    steps=tuple(
                        msgspec.structs.replace(step, seconds=0.02 if arm == TARGET else 0.03)
                        for step in answer.generation.steps
                    ),
                    prefill_seconds=0.004,
                    total_seconds=0.1 if arm == TARGET else 0.05,
                ),
            )
            for key, answer in answers.items()
        }
        for arm, answers in evidence.captured.items()
    }
    results: dict[str, GradeResult] = {"code/c0": "right", "chat/c1": "wrong"}
    grades = tuple(
        Grade(key=key, arm=arm, grader="exact", result=result, why="is it")
        for key, result in results.items()
        for arm in (TARGET, CANDIDATE)
    )
    return msgspec.structs.replace(evidence, captured=captured, grades=grades)


def text_of(evidence: Evidence) -> str:
    """The run in Prometheus' text format."""
    return metrics_of(evidence, judge(evidence))
