"""Repeat one case of a stored run, with the stored settings, on both arms, and say what came of it.

The request is taken from the records as token ids, so a suite that changed since does not matter.
A case that parted only because of its neighbours would look mended alone; so before a failure is
called fixed, the case is asked in the batch that it was asked in, in that order, and then behind
all that was asked before. Where the test of draws failed, the case's whole workload runs again.
"""

from __future__ import annotations

import enum
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from equivcheck.checks.schedules import CHECK as SCHEDULES
from equivcheck.checks.verdict import DISTRIBUTION_CHECKS, IDENTITY_CHECKS, about_case, judge
from equivcheck.core.cases import Suite
from equivcheck.core.errors import RecordsError, did_you_mean
from equivcheck.core.escape import visible
from equivcheck.core.exit_codes import EXIT_CODES
from equivcheck.core.findings import Finding, Outcome, worst
from equivcheck.core.settings import Settings
from equivcheck.pipeline.company import (
    arm_of,
    cases_of,
    companies,
    in_company,
    suite_of,
    suite_order,
)
from equivcheck.records.records import CANDIDATE, Evidence, RequestRecord
from equivcheck.records.same_run import first_difference

if TYPE_CHECKING:
    from equivcheck.core.on_progress import OnProgress


class Status(enum.StrEnum):
    """What became of the case. An engine that breaks is an error, raised and not returned."""

    FIXED = "FIXED"
    """It had not passed, and does now, alone and among its neighbours."""
    PASSED = "PASSED"
    """It had passed, and does again."""
    FAILED = "FAILED"
    INCONCLUSIVE = "INCONCLUSIVE"


class CaseReplay(Struct, frozen=True, kw_only=True):
    """A case, then and now."""

    key: str
    status: Status
    before: Outcome
    after: Outcome
    alone: bool
    """Whether the case ran without its neighbours last."""
    findings: tuple[Finding, ...]
    """About the case, now."""
    same_answer: bool
    """Whether the candidate's token ids are those of the stored run."""
    changed: str | None
    """First way in which models, versions or machine differ from the stored run's."""

    @property
    def exit_code(self) -> int:
        """As for a whole run."""
        return EXIT_CODES[self.after]


def replay(
    evidence: Evidence, key: str, *, alone: bool = False, progress: OnProgress | None = None
) -> CaseReplay:
    """Run one case of ``evidence`` again.

    Args:
        evidence: The stored run.
        key: ``workload/id``.
        alone: Never run the neighbours, whatever comes out.
        progress: Told how far the run is.

    Raises:
        RecordsError: the run has no such case, or it parted only while it was served.
        EquivcheckError: an engine or the pair cannot be loaded, or broke.
    """
    if key not in evidence.asked:
        hint = did_you_mean(key, evidence.asked)
        raise RecordsError(f"run {visible(evidence.header.run)} has no case {key!r}{hint}")
    found = _found(evidence, key)
    parted = {each.check: each for each in found if each.outcome is not Outcome.PASS}
    # Other checks look at what was served, too; these at what was asked alone.
    if SCHEDULES in parted and not IDENTITY_CHECKS & parted.keys():
        raise RecordsError(
            f"it parted while it was served, among requests that come and go; this serves its "
            f"suite again: {parted[SCHEDULES].repeat}"
        )
    before = worst([finding.outcome for finding in found])
    asked = evidence.asked[key]
    distribution = any(finding.check in DISTRIBUTION_CHECKS for finding in found)
    again = _run(evidence, [asked], distribution=distribution, progress=progress)
    told = _compare(evidence, again, key, before=before, alone=True, distribution=distribution)
    if told.status is not Status.FIXED or alone:
        return told
    neighbours = [other for other in evidence.asked.values() if other.workload == asked.workload]
    if distribution and len(neighbours) > 1:
        again = _run(evidence, neighbours, distribution=distribution, progress=progress)
        return _compare(evidence, again, key, before=before, alone=False, distribution=distribution)
    arm = arm_of(next((each.check for each in found if each.outcome is Outcome.FAIL), ""))
    for keys in companies(evidence, key, arm=arm):
        if told.status is Status.FIXED and len(keys) > 1:
            again = _run_together(evidence, keys, key, arm=arm, progress=progress)
            told = _compare(
                evidence, again, key, before=before, alone=False, distribution=distribution
            )
    return told


def _run(
    evidence: Evidence,
    asked: Sequence[RequestRecord],
    *,
    distribution: bool,
    progress: OnProgress | None,
) -> Evidence:
    """Run cases of one workload again; with ``distribution`` also draw the sampled ones again."""
    stored, first = evidence.header.settings, asked[0]
    keys = [each.request.key for each in asked]
    cases = cases_of(evidence, keys, workload=first.workload)
    suite = suite_of(cases, workload=first.workload, path=first.path)
    suite = msgspec.structs.replace(
        suite, lines=tuple(each.line for each in asked), distribution=distribution
    )
    settings = stored if distribution else msgspec.structs.replace(stored, sampled=None)
    return _run_suite(suite, settings, progress=progress)


def _run_together(
    evidence: Evidence, keys: Sequence[str], key: str, *, arm: str, progress: OnProgress | None
) -> Evidence:
    """Run a case again in its company, in the order in which the arm was asked."""
    asked = evidence.asked[key]
    settings = in_company(evidence.header.settings)
    cases = cases_of(evidence, keys, workload=asked.workload)
    ordered = suite_order(cases, settings, arm=arm)
    suite = suite_of(ordered, workload=asked.workload, path=asked.path)
    return _run_suite(suite, settings, progress=progress)


def _run_suite(suite: Suite, settings: Settings, *, progress: OnProgress | None) -> Evidence:
    from equivcheck.pipeline.run import run
    from equivcheck.records.records_file import read_evidence

    with tempfile.TemporaryDirectory(prefix="equivcheck-replay-") as folder:
        run(settings, (suite,), Path(folder), resume=False, progress=progress)
        return read_evidence(folder)


def _compare(
    evidence: Evidence,
    again: Evidence,
    key: str,
    *,
    before: Outcome,
    alone: bool,
    distribution: bool,
) -> CaseReplay:
    findings = tuple(_about(again, key, distribution=distribution))
    after = worst([finding.outcome for finding in findings])
    was_fine = before is Outcome.PASS
    status = {
        Outcome.PASS: Status.PASSED if was_fine else Status.FIXED,
        Outcome.INCONCLUSIVE: Status.INCONCLUSIVE,
        Outcome.FAIL: Status.FAILED,
    }[after]
    return CaseReplay(
        key=key,
        status=status,
        before=before,
        after=after,
        alone=alone,
        findings=findings,
        same_answer=_tokens(evidence, key) == _tokens(again, key),
        changed=_changed(evidence, again),
    )


def _about(evidence: Evidence, key: str, *, distribution: bool = False) -> list[Finding]:
    """Without their commands: this run is thrown away."""
    found = _found(evidence, key, distribution=distribution)
    return [msgspec.structs.replace(finding, repeat=None) for finding in found]


def _found(evidence: Evidence, key: str, *, distribution: bool = False) -> list[Finding]:
    """What is found about a case; with ``distribution`` about all draws together, too."""
    findings = judge(evidence).findings
    found = about_case(evidence, findings, key)
    if distribution:
        found += [
            each for each in findings if each.check in DISTRIBUTION_CHECKS and each not in found
        ]
    return found


def _tokens(evidence: Evidence, key: str) -> tuple[int, ...] | None:
    captured = evidence.captured.get(CANDIDATE, {}).get(key)
    return captured.generation.token_ids if captured else None


def _changed(evidence: Evidence, again: Evidence) -> str | None:
    """The first difference that is not down to having selected fewer cases."""
    now = msgspec.structs.replace(
        again.header,
        settings=evidence.header.settings,
        arms=evidence.header.arms
        | {arm: told for arm, told in again.header.arms.items() if arm in evidence.header.arms},
        suites=evidence.header.suites,
        planned=evidence.header.planned,
        schedules=evidence.header.schedules,
        git_commit=evidence.header.git_commit,
        git_dirty=evidence.header.git_dirty,
    )
    other = first_difference(found=evidence.header, wanted=now)
    return f"{other.field}: {other.found!r} then, {other.wanted!r} now" if other else None
