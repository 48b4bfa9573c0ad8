"""What `equivcheck run` does, from settings and suites to a verdict and its reports."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from equivcheck.baselines.adopt import adopt_baseline
from equivcheck.capture.capture import MakeWay, TimeThreads, capture
from equivcheck.checks.verdict import Verdict, judge
from equivcheck.core.cases import Suite
from equivcheck.core.on_progress import OnProgress
from equivcheck.core.settings import Settings
from equivcheck.grading.answers import grade_answers
from equivcheck.records.records_file import read_evidence, seal
from equivcheck.records.shards import Which
from equivcheck.report.view import view_of
from equivcheck.report.write import write_reports
from equivcheck.scoring import score


def run(
    settings: Settings,
    suites: Sequence[Suite],
    folder: Path,
    *,
    resume: bool = False,
    make_way: MakeWay | None = None,
    more: bool = False,
    which: Which | None = None,
    time_threads: TimeThreads | None = None,
    progress: OnProgress | None = None,
) -> Verdict:
    """Plan, capture, score, grade, judge and report one run in ``folder``.

    ``resume``, ``make_way``, ``more``, ``which`` and ``time_threads`` are `capture`'s.

    Raises:
        EquivcheckError: the run cannot be made. What was captured is kept and can be resumed.
    """
    records = capture(
        settings,
        suites,
        folder,
        resume=resume,
        make_way=make_way,
        more=more,
        which=which,
        time_threads=time_threads,
        progress=progress,
    )
    score(records, progress=progress)
    grade_answers(records, suites, progress=progress)
    adopt_baseline(records)
    evidence = read_evidence(records, compact=True)
    verdict = judge(evidence)
    seal(records, findings=verdict.findings, sealed=verdict.sealed())
    write_reports(folder, view_of(evidence, verdict))
    return verdict
