"""One view of a run, made once from evidence and verdict; every face renders this and nothing else.

So the terminal, Markdown and JSON cannot disagree. Pure; text from outside is escaped here.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct, field

from equivcheck.baselines.cells import Cell
from equivcheck.checks import CHECKS, lossy
from equivcheck.checks.diagnosis import Diagnosis, diagnoses
from equivcheck.checks.events.vocabulary import RunEvent
from equivcheck.checks.judged import Judged, judged_of
from equivcheck.checks.subjects import RUN, plural
from equivcheck.checks.verdict import IDENTITY_CHECKS, Verdict
from equivcheck.core.escape import clip, head, visible
from equivcheck.core.findings import Finding, Interval, Outcome, Reason, worst
from equivcheck.records.evidence_digest import evidence_digest
from equivcheck.records.records import CANDIDATE, TARGET, Evidence, Header
from equivcheck.records.seal import UNSEALED
from equivcheck.report.acceptance import AcceptanceView, acceptance_view
from equivcheck.report.baseline_view import AgainstView, against_view
from equivcheck.report.distribution import DistributionView, distribution_view
from equivcheck.report.events import event_view
from equivcheck.report.grades import GradeRow, grade_rows
from equivcheck.report.html_appendix import Appendix, appendix_of
from equivcheck.report.latency import LatencyRow, latency_rows
from equivcheck.report.texts import Texts, texts_of
from equivcheck.statistics.acceptance_rate import acceptance_by_workload

_TOLD = ("python", "torch", "transformers", "threads", "cpu", "gpu", "cores")
"""What the first screen shows of the environment, threads where they were chosen by timing;
records have all of it."""
MOST_CELLS = 255
"""Most cells of a run's or a workload's name: as many as a folder's may have."""


class WorkloadRow(Struct, frozen=True, kw_only=True):
    """One line of the table."""

    workload: str
    outcome: Outcome
    """The worst of the workload's findings and its cases'."""
    cases: int
    """Compared: token by token, or by their text where engines give no ids."""
    identical: int
    tokens: int
    """Matched tokens."""
    acceptance: float | None
    acceptance_interval: Interval | None
    tokens_per_step: float | None
    positions: tuple[float, ...]
    """For each draft slot, the share of verify steps that accepted the draft there."""
    vs_base: Cell | None = None
    """Change of acceptance; None: nothing to compare with."""


class GateRow(Struct, frozen=True, kw_only=True):
    """What one check says altogether."""

    check: str
    outcome: Outcome
    summary: str


class FindingBlock(Struct, frozen=True, kw_only=True):
    """One finding, opened up."""

    finding: Finding
    where: str | None
    """``path:line`` of the case; None where it is about more than one."""
    texts: Texts | None = None
    """Both arms' texts, where their tokens differ."""


class RunView(Struct, frozen=True, kw_only=True):
    """All that is shown of a run."""

    run: str
    outcome: Outcome
    headline: str
    arms: str
    """Who was compared with whom, and on what."""
    counts: dict[str, int]
    workloads: tuple[WorkloadRow, ...]
    grades: tuple[GradeRow, ...]
    """Empty where nothing has a grader."""
    gates: tuple[GateRow, ...]
    acceptance: AcceptanceView | None
    """None where no steps with drafts are told."""
    common: tuple[Diagnosis, ...]
    """What the failures of each check have in common."""
    problems: tuple[FindingBlock, ...]
    """Findings that did not pass, worst first, cases before workloads."""
    near_ties: tuple[FindingBlock, ...]
    """Cases that parted and were excused."""
    distribution: DistributionView | None = field(name="law")
    """None where no sampled distribution was tested."""
    latencies: tuple[LatencyRow, ...]
    """Empty where no engine reports times."""
    environment: tuple[str, ...]
    appendix: Appendix
    evidence_digest: str
    """The same for two runs with the same evidence, whatever their times."""
    unsealed: bool
    """Whether a line of the records that was changed would go unseen."""
    against: AgainstView | None = None
    """None where no baseline is asked for."""
    events: tuple[RunEvent, ...] = ()
    """What was exercised and what was not; empty where the candidate gave no answer."""
    judged: tuple[Judged, ...] = ()
    """How many outputs each check judged, and how many not, by reason."""

    @property
    def evidence(self) -> str:
        """The digest in words, and what is to be known of it."""
        return f"evidence {self.evidence_digest}" + f" · {UNSEALED}" * self.unsealed


def view_of(evidence: Evidence, verdict: Verdict) -> RunView:
    """Arrange a judged run for showing."""
    against = against_view(evidence)
    return RunView(
        run=clip(evidence.header.run, cells=MOST_CELLS),
        outcome=verdict.outcome,
        headline=verdict.headline,
        arms=_arms(evidence.header),
        counts=verdict.counts,
        workloads=tuple(_workload_rows(evidence, verdict.findings, against)),
        grades=tuple(grade_rows(evidence)),
        gates=tuple(_gate_rows(verdict.findings)),
        acceptance=acceptance_view(evidence),
        common=diagnoses(evidence, verdict.findings),
        problems=_problems(evidence, verdict.findings),
        near_ties=tuple(
            _block(evidence, finding)
            for finding in verdict.findings
            if finding.reason is Reason.NUMERICS
            and finding.check in IDENTITY_CHECKS
            and finding.subject in evidence.asked
        ),
        distribution=distribution_view(evidence),
        latencies=tuple(latency_rows(evidence)),
        environment=_environment(evidence.header),
        appendix=appendix_of(evidence, verdict.findings),
        evidence_digest=evidence_digest(evidence),
        unsealed=evidence.unsealed,
        against=against,
        events=event_view(evidence),
        judged=judged_of(evidence),
    )


def _environment(header: Header) -> tuple[str, ...]:
    facts = dict(header.environment)
    if header.threads_timed:
        facts["threads"] = f"{header.settings.setup.threads}, chosen by timing"
    else:
        facts.pop("threads", None)
    told = [f"{name} {head(value, cells=60)}" for name in _TOLD if (value := facts.get(name))]
    if header.merged:
        told.append(f"merged from {plural(len(header.merged), 'shard')}")
    return tuple(told)


def _arms(header: Header) -> str:
    setup = header.settings.setup
    engines = [
        header.arms[arm].engine if arm in header.arms else "nothing" for arm in (CANDIDATE, TARGET)
    ]
    candidate, target = (head(engine, cells=40) for engine in engines)
    device = header.arms[TARGET].device if TARGET in header.arms else setup.device
    facts = [
        f"{candidate} against {target}",
        head(setup.pair, cells=30),
        setup.dtype,
        head(device, cells=20),
    ]
    if header.git_commit:
        facts.append(visible(header.git_commit[:7]) + ("*" if header.git_dirty else ""))
    return " · ".join([*facts, head(header.created, cells=30)])


def _workload_rows(
    evidence: Evidence, findings: Sequence[Finding], against: AgainstView | None
) -> list[WorkloadRow]:
    acceptance = acceptance_by_workload(evidence)
    rows = []
    for workload in dict.fromkeys(asked.workload for asked in evidence.asked.values()):
        inside = [finding for finding in findings if _home(evidence, finding) == workload]
        cases = [
            finding
            for finding in inside
            if finding.check in IDENTITY_CHECKS and finding.subject in evidence.asked
        ]
        found = acceptance.get(workload)
        rows.append(
            WorkloadRow(
                workload=clip(workload, cells=MOST_CELLS),
                outcome=worst([finding.outcome for finding in inside]),
                cases=len(cases),
                identical=sum(finding.reason is Reason.IDENTICAL for finding in cases),
                tokens=sum(finding.n for finding in cases),
                acceptance=found.rate if found else None,
                acceptance_interval=found.rate_interval if found else None,
                tokens_per_step=found.tokens_per_step if found else None,
                positions=found.marginal_rates if found else (),
                vs_base=against.changes.get(workload) if against else None,
            )
        )
    return rows


def _home(evidence: Evidence, finding: Finding) -> str:
    asked = evidence.asked.get(finding.subject)
    return asked.workload if asked else finding.subject


def _gate_rows(findings: Sequence[Finding]) -> list[GateRow]:
    rows = []
    for check in (lossy.NAME, *(name for name, _ in CHECKS)):
        own = [finding for finding in findings if finding.check == check]
        if not own:
            continue
        outcome = worst([finding.outcome for finding in own])
        telling = [finding for finding in own if finding.outcome is outcome]
        rows.append(GateRow(check=check, outcome=outcome, summary=_gate_summary(telling)))
    return rows


def _gate_summary(telling: Sequence[Finding]) -> str:
    """The finding about the run, else the last about a workload, and how many say the like."""
    for finding in telling:
        if finding.subject == RUN:
            return finding.headline
    workloads = [finding for finding in telling if "/" not in finding.subject]
    if len(workloads) > 1 and workloads[0].outcome is Outcome.PASS:
        return f"holds in {plural(len(workloads), 'workload')}"
    others = f" and {len(workloads) - 1} more" if len(workloads) > 1 else ""
    last = telling[-1]
    return f"{last.subject}{others}: {last.headline}"


def _problems(evidence: Evidence, findings: Sequence[Finding]) -> tuple[FindingBlock, ...]:
    """Worst first; among equals a case before what sums it up, and the earliest to part first.

    A workload's summary that only counts cases shown themselves is left out.
    """
    shown = {
        (finding.check, _home(evidence, finding))
        for finding in findings
        if finding.outcome is not Outcome.PASS and finding.subject in evidence.asked
    }
    open_findings = [
        finding
        for finding in findings
        if finding.outcome is not Outcome.PASS
        and (
            finding.subject in evidence.asked
            or (finding.check, finding.subject) not in shown
            or finding.reason is Reason.NUMERICS_OVER_BUDGET
        )
    ]
    ranked = sorted(
        open_findings,
        key=lambda finding: (
            -finding.outcome.severity,
            finding.subject not in evidence.asked,
            finding.n,
        ),
    )
    return tuple(_block(evidence, finding) for finding in ranked)


def _block(evidence: Evidence, finding: Finding) -> FindingBlock:
    asked = evidence.asked.get(finding.subject)
    where = f"{head(asked.path, cells=60)}:{asked.line}" if asked else None
    return FindingBlock(finding=finding, where=where, texts=texts_of(evidence, finding))
