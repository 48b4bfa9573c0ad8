"""Run one fault: capture it against the replayed sound target, judge, and say what came of it."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from equivcheck.capture.environment import git_state
from equivcheck.checks.diagnosis import diagnoses
from equivcheck.checks.subjects import RUN
from equivcheck.checks.verdict import DISTRIBUTION_CHECKS, Verdict
from equivcheck.core.atomic_write import replace
from equivcheck.core.errors import describe
from equivcheck.core.findings import Finding, Outcome
from equivcheck.core.settings import Settings
from equivcheck.fault_matrix.degradation import Degradation, degradation
from equivcheck.fault_matrix.events import missing_events
from equivcheck.fault_matrix.job import TrialJob
from equivcheck.fault_matrix.openers import without_openers
from equivcheck.fault_matrix.result import Result, Said, by_check, completed
from equivcheck.fault_matrix.rigs import DISTRIBUTION, against, budget_of, sound_settings, suites_of
from equivcheck.fault_matrix.service_trial import judged_served, serve_sound
from equivcheck.faults.fault import Fault
from equivcheck.pipeline.run import run
from equivcheck.records.records import CANDIDATE, Evidence
from equivcheck.records.records_file import read_evidence
from equivcheck.records.run_folder import name_by_folder
from equivcheck.report.blocks import block_lines
from equivcheck.report.common import common_lines

LOSSLESS = ("nothing", "speed")
"""What an entry breaks that leaves the output alone."""
DONE = "done"
"""Says what the sound arms were captured with."""


class SoundCapture(Struct, frozen=True):
    """What the sound arms in a folder were captured with."""

    code: str
    schedules: tuple[str, ...]


def capture_sound(job: TrialJob, out: Path) -> None:
    """Run the sound arms of a job's rig over its schedules, unless that is done already."""
    folder = job.sound_folder(out)
    if job.entry.serves:
        serve_sound(job, folder)
        return
    if (done := folder / DONE).is_file():
        before = msgspec.json.decode(done.read_bytes(), type=SoundCapture)
        if before.code == job.code and {*job.schedules} <= {*before.schedules}:
            return
    shutil.rmtree(folder, ignore_errors=True)
    # Openers are there for whoever asks them; who does not asks the rest alone.
    run(sound_settings(job.rig), suites_of(job.schedules, seed=job.seed, opened=True), folder)
    replace(done, msgspec.json.encode(SoundCapture(job.code, job.schedules)))


def run_job(job: TrialJob, out: Path) -> Result:
    """Run one fault or control in a folder of its own; whatever breaks it becomes its result."""
    entry = job.entry
    started, cpu_started = time.perf_counter(), time.process_time()
    git = git_state(Path.cwd())
    blank = Result(
        id=entry.id,
        family=entry.family,
        summary=entry.summary,
        recreates=entry.recreates,
        breaks=entry.breaks,
        caught_by=entry.caught_by,
        label=entry.label,
        candidate=entry.candidate,
        schedules=job.schedules,
        seed=job.seed,
        cases=job.digest,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        commit=f"{git.commit[:7]}{'+' if git.dirty else ''}" if git else "unknown",
        headline="",
        checks={},
        said=Said.BROKE,
        caught=False,
        accused=False,
    )
    try:
        result = (judged_served if job.entry.serves else judged)(job, blank, out)
    # One fault that breaks the run must not cost all others theirs; it counts as not caught.
    except Exception as error:
        result = msgspec.structs.replace(blank, headline=describe(error))
    return msgspec.structs.replace(
        result,
        seconds=round(time.perf_counter() - started, 2),
        cpu_seconds=round(time.process_time() - cpu_started, 2),
    )


def judged(job: TrialJob, blank: Result, out: Path) -> Result:
    """Run, judge, compare; the result with all that was found."""
    entry, sound, folder = job.entry, job.sound_folder(out), job.run_folder(out)
    shutil.rmtree(folder, ignore_errors=True)
    settings = against(job.rig, entry, sound=sound, brief=job.brief)
    verdict = run_to_the_end(job, settings, folder)
    evidence = read_evidence(folder)
    degradations = compare_drafts(entry, evidence, sound=sound)
    missing = missing_events(evidence)
    made_for = cases_of(evidence, entry.asked)
    finding = first_failure(made_for, verdict.findings, check=entry.caught_by)
    shown = () if finding is None else tuple(block_lines(name_by_folder(finding, folder)))
    if shown:
        of_check = [
            told
            for told in diagnoses(evidence, verdict.findings)
            if told.check == entry.caught_by and told.lines
        ]
        shown += tuple(common_lines(of_check))
    return completed(
        blank,
        verdict,
        degradations=degradations,
        missing=missing,
        detected=detection(evidence, made_for, finding),
        answered=sum(
            len(captured.generation.token_ids) for captured in evidence.captured[CANDIDATE].values()
        ),
        message=shown,
    )


def run_to_the_end(job: TrialJob, settings: Settings, folder: Path) -> Verdict:
    """Run, and draw one budget after another until the distribution is refuted or all is drawn."""
    verdict = run(settings, job.suites, folder)
    for _ in range(further_budgets(job)):
        if by_check(verdict.findings).get(job.entry.caught_by) is Outcome.FAIL:
            break
        verdict = run(settings, job.suites, folder, resume=True, more=True)
    return verdict


def further_budgets(job: TrialJob) -> int:
    """How often at most to draw on; to be quick, what is lossless passes on one budget or not."""
    entry = job.entry
    if job.rig != DISTRIBUTION or (job.quick and entry.breaks in LOSSLESS):
        return 0
    return math.ceil(entry.draws / budget_of(entry)) - 1


def compare_drafts(entry: Fault, evidence: Evidence, *, sound: Path) -> tuple[Degradation, ...]:
    """Acceptance by workload against the sound candidate's, where both draft alike."""
    if entry.caught_by != "acceptance":
        return ()
    healthy = read_evidence(sound).captured[CANDIDATE]
    ours = evidence.captured[CANDIDATE]
    compared = []
    for workload in dict.fromkeys(asked.workload for asked in evidence.asked.values()):
        keys = cases_of(evidence, (workload,))
        found = degradation(
            {key: ours[key].generation for key in keys if key in ours},
            {key: healthy[key].generation for key in keys if key in healthy},
            workload=workload,
        )
        if found is not None:
            compared.append(found)
    return tuple(compared)


def cases_of(evidence: Evidence, schedules: Sequence[str]) -> list[str]:
    """Keys of all cases of some schedules but for openers, in the order of asking."""
    return [
        key for key in without_openers(evidence.asked) if evidence.asked[key].workload in schedules
    ]


def first_failure(
    made_for: Sequence[str], findings: Sequence[Finding], *, check: str
) -> Finding | None:
    """The designated check's finding about the first case, in the order of asking, that failed.

    A finding about the run goes before, where the check starts with it. Findings about anything
    but the cases made for the fault come behind: with which seed, and beside which others, these
    are asked does not change how many tokens they take.
    """
    failed = [
        finding
        for finding in findings
        if finding.check == check and finding.outcome is not Outcome.PASS
    ]
    if failed and failed[0].subject == RUN:
        return failed[0]
    order = {key: place for place, key in enumerate(made_for)}
    return min(failed, key=lambda one: order.get(one.subject, len(order)), default=None)


def detection(
    evidence: Evidence, made_for: Sequence[str], finding: Finding | None
) -> tuple[int | None, int | None]:
    """Requests and candidate's tokens, of the cases made for the fault, up to a failure's case."""
    if finding is None:
        return None, None
    if finding.subject not in made_for:
        return None, finding.n if finding.check in DISTRIBUTION_CHECKS else None
    upto = made_for[: made_for.index(finding.subject) + 1]
    captured = evidence.captured[CANDIDATE]
    before = sum(len(captured[key].generation.token_ids) for key in upto[:-1] if key in captured)
    return len(upto), before + max(1, finding.n)
