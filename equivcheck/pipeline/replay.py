"""Repeat one case of a stored run, with the stored settings, on both arms, and say what came of it.

The request is taken from the records as token ids, so a suite that changed since does not matter.
A case that parted only because of its neighbours would look mended alone; so before a failure is
called fixed, the case's whole workload runs again.
"""

from __future__ import annotations

import enum
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from equivcheck.checks.verdict import EXIT_CODES, LAW_CHECKS, about_case, judge
from equivcheck.core.cases import Case, Suite
from equivcheck.core.errors import RecordsError, did_you_mean
from equivcheck.core.escape import visible
from equivcheck.core.findings import Finding, Outcome, worst
from equivcheck.records.records import CANDIDATE, Asked, Evidence
from equivcheck.records.same_run import first_difference

if TYPE_CHECKING:
    from equivcheck.capture.capture import Progress


class Status(enum.StrEnum):
    """What became of the case. An engine that breaks is an error, raised and not returned."""

    FIXED = "FIXED"
    """It had not passed, and does now, alone and among its neighbours."""
    PASSED = "PASSED"
    """It had passed, and does again."""
    FAILED = "FAILED"
    INCONCLUSIVE = "INCONCLUSIVE"


class Replayed(Struct, frozen=True, kw_only=True):
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
    evidence: Evidence, key: str, *, alone: bool = False, progress: Progress | None = None
) -> Replayed:
    """Run one case of ``evidence`` again.

    Args:
        evidence: The stored run.
        key: ``workload/id``.
        alone: Never run the neighbours, whatever comes out.
        progress: Told how far the run is.

    Raises:
        RecordsError: the run has no such case.
        EquivcheckError: an engine or the pair cannot be loaded, or broke.
    """
    if key not in evidence.asked:
        hint = did_you_mean(key, evidence.asked)
        raise RecordsError(f"run {visible(evidence.header.run)} has no case {key!r}{hint}")
    found = _about(evidence, key)
    before = worst([finding.outcome for finding in found])
    asked = evidence.asked[key]
    law = any(finding.check in LAW_CHECKS for finding in found)
    again = _run(evidence, [asked], law=law, progress=progress)
    told = _compare(evidence, again, key, before=before, alone=True, law=law)
    neighbours = [other for other in evidence.asked.values() if other.workload == asked.workload]
    if told.status is not Status.FIXED or alone or len(neighbours) == 1:
        return told
    again = _run(evidence, neighbours, law=law, progress=progress)
    return _compare(evidence, again, key, before=before, alone=False, law=law)


def _run(
    evidence: Evidence, asked: Sequence[Asked], *, law: bool, progress: Progress | None
) -> Evidence:
    """Run cases again; with ``law`` those that are sampled are drawn again too."""
    from equivcheck.pipeline.run import run
    from equivcheck.records.records_file import read_evidence

    with tempfile.TemporaryDirectory(prefix="equivcheck-replay-") as folder:
        suite = msgspec.structs.replace(_suite_of(asked), law=law)
        stored = evidence.header.settings
        settings = stored if law else msgspec.structs.replace(stored, sampled=None)
        run(settings, (suite,), Path(folder), resume=False, progress=progress)
        return read_evidence(folder)


def _suite_of(asked: Sequence[Asked]) -> Suite:
    """The stored requests as a suite; the seeds stored in them keep their random streams."""
    return Suite(
        path=asked[0].path,
        workload=asked[0].workload,
        description="replayed",
        cases=tuple(_case_of(each) for each in asked),
        lines=tuple(each.line for each in asked),
        digest="",
    )


def _case_of(asked: Asked) -> Case:
    request = asked.request
    return Case(
        id=request.key.partition("/")[2],
        token_ids=request.prompt_ids,
        max_new_tokens=request.max_new_tokens,
        sampling=request.sampling,
        stop=request.stop,
        stop_token_ids=request.stop_token_ids,
        ignore_eos=request.ignore_eos,
        seed=request.seed,
    )


def _compare(
    evidence: Evidence, again: Evidence, key: str, *, before: Outcome, alone: bool, law: bool
) -> Replayed:
    findings = tuple(_about(again, key, law=law))
    after = worst([finding.outcome for finding in findings])
    was_fine = before is Outcome.PASS
    status = {
        Outcome.PASS: Status.PASSED if was_fine else Status.FIXED,
        Outcome.INCONCLUSIVE: Status.INCONCLUSIVE,
        Outcome.FAIL: Status.FAILED,
    }[after]
    return Replayed(
        key=key,
        status=status,
        before=before,
        after=after,
        alone=alone,
        findings=findings,
        same_answer=_tokens(evidence, key) == _tokens(again, key),
        changed=_changed(evidence, again),
    )


def _about(evidence: Evidence, key: str, *, law: bool = False) -> list[Finding]:
    """Without their commands: this run is thrown away. With ``law`` the law of all draws too."""
    findings = judge(evidence).findings
    found = about_case(evidence, findings, key)
    if law:
        found += [each for each in findings if each.check in LAW_CHECKS and each not in found]
    return [msgspec.structs.replace(finding, repeat=None) for finding in found]


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
        git_commit=evidence.header.git_commit,
        git_dirty=evidence.header.git_dirty,
    )
    other = first_difference(evidence.header, now)
    return f"{other.field}: {other.found!r} then, {other.wanted!r} now" if other else None
