"""Run one fault: capture it against the replayed sound target, judge, and say what came of it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from equivcheck.asking import describe
from equivcheck.capture import run
from equivcheck.environment import git_state
from equivcheck.faults.fault import Fault
from equivcheck.findings import Finding, Outcome
from equivcheck.proving.degradation import Degradation, degradation
from equivcheck.proving.events import missing_events
from equivcheck.proving.result import Result, Said, by_check, is_caught, say
from equivcheck.proving.rigs import (
    Rig,
    against,
    asked_of,
    digest_of,
    rig_of,
    source_digest,
    suites_of,
)
from equivcheck.records import CANDIDATE, Evidence
from equivcheck.records_file import read_evidence
from equivcheck.report.blocks import block_lines
from equivcheck.run_folder import name_by_folder

DONE = "done"
"""Says which code the sound arms were captured with."""


def capture_sound(rig: Rig, *, seed: int, folder: Path) -> None:
    """Run a rig's sound arms over all its schedules, unless that is done already."""
    done = folder / DONE
    if done.is_file() and done.read_text() == source_digest():
        return
    shutil.rmtree(folder, ignore_errors=True)
    run(rig.settings, suites_of(rig.schedules, seed=seed), folder)
    done.write_text(source_digest())


def attempt_trial(entry: Fault, *, quick: bool, seed: int, sound: Path, folder: Path) -> Result:
    """Run one fault or control in a folder of its own; whatever breaks it becomes its result."""
    started = time.perf_counter()
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
        schedules=asked_of(entry, quick=quick),
        seed=seed,
        cases=digest_of(entry, quick=quick, seed=seed),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        commit=f"{git.commit[:7]}{'+' if git.dirty else ''}" if git else "unknown",
        headline="",
        checks={},
        said=Said.BROKE,
        caught=False,
        accused=False,
    )
    try:
        result = run_trial(entry, blank, sound=sound, folder=folder)
    # One fault that breaks the run must not cost all others theirs; it counts as not caught.
    except Exception as error:
        result = msgspec.structs.replace(blank, headline=describe(error))
    return msgspec.structs.replace(result, seconds=round(time.perf_counter() - started, 2))


def run_trial(entry: Fault, blank: Result, *, sound: Path, folder: Path) -> Result:
    """Run, judge, compare; the result with all that was found."""
    shutil.rmtree(folder, ignore_errors=True)
    settings = against(rig_of(entry), entry, sound=sound)
    verdict = run(settings, suites_of(blank.schedules, seed=blank.seed), folder)
    evidence = read_evidence(folder)
    degradations = compare_drafts(entry, evidence, sound=sound)
    missing = missing_events(evidence)
    checks = by_check(verdict.findings)
    said = say(verdict, degraded=any(one.degraded for one in degradations), missing=missing)
    finding = first_failure(evidence, verdict.findings, check=entry.caught_by)
    requests, tokens = detection(evidence, finding)
    shown = () if finding is None else tuple(block_lines(name_by_folder(finding, folder)))
    return msgspec.structs.replace(
        blank,
        headline=verdict.headline,
        checks=checks,
        said=said,
        caught=is_caught(said, checks, breaks=entry.breaks, caught_by=entry.caught_by),
        accused=Outcome.FAIL in checks.values(),
        requests=requests,
        tokens=tokens,
        answered=sum(
            len(captured.generation.token_ids) for captured in evidence.captured[CANDIDATE].values()
        ),
        missing=tuple(missing),
        degradations=degradations,
        message=shown,
    )


def compare_drafts(entry: Fault, evidence: Evidence, *, sound: Path) -> tuple[Degradation, ...]:
    """Acceptance by workload against the sound candidate's, where both draft alike."""
    if entry.caught_by != "acceptance":
        return ()
    healthy = read_evidence(sound).captured[CANDIDATE]
    ours = evidence.captured[CANDIDATE]
    compared = []
    for workload in dict.fromkeys(asked.workload for asked in evidence.asked.values()):
        keys = [key for key, asked in evidence.asked.items() if asked.workload == workload]
        found = degradation(
            {key: ours[key].generation for key in keys if key in ours},
            {key: healthy[key].generation for key in keys if key in healthy},
            workload=workload,
        )
        if found is not None:
            compared.append(found)
    return tuple(compared)


def first_failure(evidence: Evidence, findings: Sequence[Finding], *, check: str) -> Finding | None:
    """The designated check's finding about the first case, in the order of asking, that failed.

    Falls back on a finding about no single case.
    """
    failed = [
        finding
        for finding in findings
        if finding.check == check and finding.outcome is not Outcome.PASS
    ]
    order = {key: place for place, key in enumerate(evidence.asked)}
    return min(failed, key=lambda one: order.get(one.subject, len(order)), default=None)


def detection(evidence: Evidence, finding: Finding | None) -> tuple[int | None, int | None]:
    """Requests and candidate's tokens up to and with the case of a failure."""
    if finding is None:
        return None, None
    if finding.subject not in evidence.asked:
        return None, finding.n or None
    upto = list(evidence.asked)[: list(evidence.asked).index(finding.subject) + 1]
    captured = evidence.captured[CANDIDATE]
    before = sum(len(captured[key].generation.token_ids) for key in upto[:-1] if key in captured)
    return len(upto), before + max(1, finding.n)


def sound_folder(out: Path, rig: Rig, *, seed: int) -> Path:
    """Where a rig's sound arms are kept."""
    return out / "sound" / f"{rig.name}-{seed}"
