"""Compare two saved runs: comparable at all? Still correct? As often accepted, as fast? Pure."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import structs

from equivcheck.baselines.cells import (
    ABSENT,
    Cell,
    Terms,
    acceptance_cell,
    memory_cell,
    p99_cell,
    rate_cell,
    speedup_cell,
)
from equivcheck.baselines.facts import Differing, first_difference, other_prompts, told_differences
from equivcheck.baselines.limits import limit_findings
from equivcheck.compare.comparison import Broken, Comparison, Row
from equivcheck.compare.sentences import notes, sentence, unfinished
from equivcheck.core.findings import Outcome, worst
from equivcheck.core.settings import WorkloadLimits
from equivcheck.records.baseline_record import Baseline, BenchFigures, workload_of

NOT_COMPARABLE = Cell(state="not comparable")


def compare(
    *,
    base: Baseline,
    new: Baseline,
    terms: Terms | None = None,
    limits: Mapping[str, WorkloadLimits] | None = None,
) -> Comparison:
    """Hold ``new`` against ``base``.

    Args:
        base: The older run.
        new: The newer one.
        terms: From where on changes count.
        limits: Of the project, by workload: a drop of acceptance to be excluded in place of the
            terms' own, and what a measurement is held to.
    """
    terms = terms or Terms()
    if differing := _incomparable(base, new):
        return Comparison(
            outcome=Outcome.INCONCLUSIVE,
            word="NOT COMPARABLE",
            headline=f"NOT COMPARABLE — {differing.words}",
            base=_named(base),
            new=_named(new),
            terms=terms,
            not_comparable=differing,
            differences=told_differences(base, new),
        )
    rows = tuple(
        _row(base, new, workload, terms=_with_margin(terms, limits, workload))
        for workload in dict.fromkeys([*base.workloads, *new.workloads])
    )
    broken = tuple(sorted(_broken(base, new), key=lambda b: (not b.newly, not b.fails)))
    memory = ABSENT
    if base.bench and new.bench:
        memory = memory_cell(base.bench.memory_overhead, new.bench.memory_overhead, terms=terms)
    held = limit_findings(new.bench, limits or {}, answered=[row.workload for row in rows])
    outcomes = [row.outcome for row in rows] + [memory.outcome, new.answers]
    outcomes += [finding.outcome for finding in held]
    outcomes += [Outcome.INCONCLUSIVE] if unfinished(base, new) else []
    outcomes += [Outcome.FAIL for each in broken if each.fails]
    compared = any(row.prompts for row in rows)
    outcome = worst(outcomes) if compared else worst([*outcomes, Outcome.INCONCLUSIVE])
    word, told = sentence(base, new, rows, broken, memory, held, outcome)
    return Comparison(
        outcome=outcome,
        word=word,
        headline=f"{word} — {told}",
        base=_named(base),
        new=_named(new),
        terms=terms,
        differences=told_differences(base, new),
        broken=broken,
        rows=rows,
        memory=memory,
        limits=held,
        notes=tuple(notes(base, new)),
    )


def _incomparable(base: Baseline, new: Baseline) -> Differing | None:
    if base.kind == new.kind:
        found = first_difference(base=base.facts, new=new.facts)
        if found or not (base.bench and new.bench):
            return found or other_prompts(base.prompts, new.prompts)
    if base.bench and new.bench:
        found = first_difference(base=base.bench.facts, new=new.bench.facts)
        return found or other_prompts(base.prompts, new.prompts)
    return Differing("kind", base.kind, new.kind)


def _with_margin(terms: Terms, limits: Mapping[str, WorkloadLimits] | None, workload: str) -> Terms:
    limit = limits.get(workload) if limits else None
    if limit is None or limit.max_acceptance_drop is None:
        return terms
    return structs.replace(terms, margin=limit.max_acceptance_drop)


def _row(base: Baseline, new: Baseline, workload: str, *, terms: Terms) -> Row:
    before, after = base.counts(workload), new.counts(workload)
    both = [key for key in before if key in after]
    same_kind = base.kind == new.kind
    acceptance = (
        acceptance_cell(base=before, new=after, terms=terms) if same_kind else NOT_COMPARABLE
    )
    times = _times(base.bench, new.bench, workload, terms=terms)
    missing = len(before) - len(both) if same_kind else 0
    unmeasured = _unmeasured(base.bench, new.bench, workload)
    diverged = new.bench.diverged.get(workload, ()) if new.bench else ()
    outcomes = [acceptance.outcome, *(cell.outcome for cell in times[:2])]
    # Of acceptance alone, no workload passes.
    if missing or unmeasured or acceptance.lost or new.kind == "aiperf":
        outcomes.append(Outcome.INCONCLUSIVE)
    if diverged:
        outcomes.append(Outcome.FAIL)
    return Row(
        workload=workload,
        outcome=worst(outcomes),
        prompts=len(both) if same_kind else times[0].prompts,
        margin=terms.margin,
        missing=missing,
        passing=sum(
            case.outcome is Outcome.PASS
            for key, case in new.cases.items()
            if workload_of(key) == workload
        ),
        unmeasured=unmeasured,
        diverged=diverged,
        acceptance=acceptance,
        speedup=times[0],
        p99_ratio=times[1],
        tokens_per_second=times[2],
    )


def _times(
    base: BenchFigures | None, new: BenchFigures | None, workload: str, *, terms: Terms
) -> tuple[Cell, Cell, Cell]:
    """Speedup, p99 ratio, tokens a second."""
    if base is None and new is None:
        return ABSENT, ABSENT, ABSENT
    if base is None or new is None:
        return NOT_COMPARABLE, NOT_COMPARABLE, NOT_COMPARABLE
    before, after = base.times.get(workload, {}), new.times.get(workload, {})
    same_machine = base.machine == new.machine
    return (
        speedup_cell(before, after, terms=terms),
        p99_cell(base.p99_ratio.get(workload), new.p99_ratio.get(workload), terms=terms),
        rate_cell(before, after, terms=terms) if same_machine else NOT_COMPARABLE,
    )


def _unmeasured(base: BenchFigures | None, new: BenchFigures | None, workload: str) -> int:
    """How many times of the base have no match; none where a run comes without a measurement."""
    if base is None or new is None:
        return 0
    return len(base.times.get(workload, {}).keys() - new.times.get(workload, {}).keys())


def _broken(base: Baseline, new: Baseline) -> list[Broken]:
    found = []
    for key, case in new.cases.items():
        # Of acceptance alone, no case is known to be broken.
        if case.outcome is Outcome.PASS or new.kind == "aiperf":
            continue
        before = base.cases.get(key)
        found.append(
            Broken(
                key=key,
                state=case.state,
                before=before.state if before else None,
                fails=case.outcome is Outcome.FAIL,
                newly=before is None or before.outcome.severity < case.outcome.severity,
            )
        )
    return found


def _named(baseline: Baseline) -> str:
    candidate = baseline.under_test.get("candidate", "?")
    return f"{baseline.name} ({candidate}, {baseline.created})"
