"""How a run compares with its baseline: part of the view, and absent where none is named."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from equivcheck.baselines.cell_words import LEGEND, change_words
from equivcheck.baselines.cells import Cell, Terms, acceptance_cell
from equivcheck.baselines.facts import compared_facts, told_differences
from equivcheck.baselines.trend import Trend, trends_of
from equivcheck.checks.acceptance import counts_by_workload
from equivcheck.checks.baseline import asked_for, usable_baseline
from equivcheck.core.escape import head
from equivcheck.core.generation import Counts
from equivcheck.records.baseline_record import Baseline, HistoryPoint
from equivcheck.records.records import Evidence

CELLS = 100
MOST_DIFFERENCES = 8
VS_BASE = "vs base"


class AgainstView(Struct, frozen=True, kw_only=True):
    """The baseline of a run, and what differs from it."""

    name: str
    created: str
    problem: str | None
    """Why it is not used; None: it is."""
    differences: tuple[str, ...]
    """What is under test, then where it ran; bounded."""
    more: int
    """Differences left out."""
    changes: dict[str, Cell]
    """Workload to the change of its acceptance rate."""
    trends: tuple[Trend, ...]
    """Acceptance over the baseline's history up to this run; empty before there is any."""


def against_view(evidence: Evidence) -> AgainstView | None:
    """Arrange the comparison; None where no baseline is asked for."""
    if not asked_for(evidence):
        return None
    baseline, doubt = usable_baseline(evidence)
    if baseline is None:
        assert doubt is not None
        return AgainstView(
            name=head(evidence.header.settings.baseline or "none", cells=40),
            created="",
            problem=doubt.headline,
            differences=(),
            more=0,
            changes={},
            trends=(),
        )
    told = [
        head(each.words, cells=CELLS)
        for each in told_differences(baseline, compared_facts(evidence.header))
    ]
    answered = counts_by_workload(evidence)
    limits = evidence.header.settings.workload
    return AgainstView(
        name=head(baseline.name, cells=40),
        created=head(baseline.created, cells=40),
        problem=None,
        differences=tuple(told[:MOST_DIFFERENCES]),
        more=max(0, len(told) - MOST_DIFFERENCES),
        changes={
            workload: acceptance_cell(
                base=baseline.counts(workload),
                new=counts,
                terms=_terms(limits[workload].max_acceptance_drop)
                if workload in limits
                else Terms(),
            )
            for workload, counts in answered.items()
        },
        trends=_trends(evidence, baseline, answered),
    )


def vs_base_words(cell: Cell | None) -> str:
    """``✗ -0.122 [-0.191, -0.052]``; ``x`` where nothing can be compared."""
    return "x" if cell is None else change_words(cell) or "x"


def box_lines(view: AgainstView) -> Iterator[str]:
    """The box above the table: why there is no comparison, or what differs."""
    if view.problem is not None:
        yield f"! not held against a baseline: {view.problem}"
        return
    if not view.differences:
        yield f"against baseline {view.name} ({view.created}): nothing else differs"
        return
    yield f"! differs from baseline {view.name} ({view.created}):"
    yield from (f"    {each}" for each in view.differences)
    if view.more:
        yield f"    … {view.more} more in records.jsonl"


def legend(view: AgainstView) -> str:
    """What the marks of the column mean."""
    return f"{VS_BASE}: change of acceptance, paired by prompt (95 %); {LEGEND}"


def _terms(drop: float | None) -> Terms:
    return Terms() if drop is None else Terms(margin=drop)


def _trends(
    evidence: Evidence, baseline: Baseline, answered: dict[str, dict[str, Counts]]
) -> tuple[Trend, ...]:
    """Without workloads that were run in part: their totals are those of other prompts."""
    if not baseline.history:
        return ()
    whole = {
        workload: counts
        for workload, counts in answered.items()
        if counts.keys() == baseline.counts(workload).keys()
    }
    header = evidence.header
    newest = HistoryPoint(
        created=header.created,
        run=header.run,
        commit=header.git_commit[:12] if header.git_commit else None,
        counts={
            workload: Counts(
                drafted=sum(each.drafted for each in counts.values()),
                accepted=sum(each.accepted for each in counts.values()),
            )
            for workload, counts in whole.items()
        },
    )
    found = trends_of(baseline, newest=newest).trends
    return tuple(trend for trend in found if trend.workload in whole)
