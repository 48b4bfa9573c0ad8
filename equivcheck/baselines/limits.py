"""Hold a measurement to the project's limits on speed, tail and memory. Pure.

Limits for a workload that is not there hold nothing: see `misspelt_limits`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from difflib import get_close_matches

from equivcheck.baselines.facts import SUITE
from equivcheck.core.findings import Finding, Outcome, Reason
from equivcheck.core.settings import WorkloadLimits
from equivcheck.records.baseline_record import BenchFigures, Ratio
from equivcheck.statistics.ratios import geometric_mean


def limit_findings(
    figures: BenchFigures | None,
    limits: Mapping[str, WorkloadLimits],
    *,
    answered: Iterable[str] = (),
) -> tuple[Finding, ...]:
    """One finding a limit on times or memory, of the workloads that were measured.

    Args:
        figures: Of a measurement; None: only limits that are misspelt are found.
        limits: Of the project, by workload.
        answered: Workloads that are there beside those that were measured.
    """
    facts = figures.facts if figures else {}
    measured = [name.removeprefix(SUITE) for name in facts if name.startswith(SUITE)]
    found = list(misspelt_limits(limits, [*measured, *answered], check="speed"))
    for workload, limit in limits.items():
        if figures and workload in measured:
            found += _findings(figures, workload, limit)
    return tuple(found)


def misspelt_limits(
    limits: Mapping[str, WorkloadLimits], there: Collection[str], *, check: str
) -> Iterator[Finding]:
    """Say which limits hold nothing because their workload's name is a little off.

    Limits for a workload that is like none without limits are taken for one that was not selected.
    """
    unlimited = [name for name in there if name not in limits]
    for workload in limits:
        if workload in there:
            continue
        for meant in get_close_matches(workload, unlimited, n=1):
            yield Finding(
                check=check,
                subject=meant,
                outcome=Outcome.INCONCLUSIVE,
                reason=Reason.NOTHING_COMPARED,
                headline=f"no limit is held: limits are set for {workload!r}, no workload that was "
                f"run (did you mean {meant!r}?)",
            )


def _findings(figures: BenchFigures, workload: str, limit: WorkloadLimits) -> Iterator[Finding]:
    if limit.min_speedup is not None:
        times = figures.times.get(workload, {})
        mean = geometric_mean([each.speedup for each in times.values()])
        yield _finding("speedup", workload, mean, n=len(times), least=limit.min_speedup)
    if limit.max_p99_ratio is not None:
        ratio = figures.p99_ratio.get(workload)
        yield _finding("p99 ratio", workload, ratio, n=0, most=limit.max_p99_ratio)
    if limit.max_memory_ratio is not None:
        overhead = figures.memory_overhead
        memory = None if overhead is None else Ratio(value=overhead)
        yield _finding("memory ratio", workload, memory, n=0, most=limit.max_memory_ratio)


def _finding(
    what: str,
    workload: str,
    ratio: Ratio | None,
    *,
    n: int,
    least: float = 0.0,
    most: float = math.inf,
) -> Finding:
    limit = least or most
    asked = f"at least {least:g} is asked for" if least else f"at most {most:g} is allowed"
    exact = what == "memory ratio"
    if ratio is None or (ratio.interval is None and not exact):
        outcome = Outcome.INCONCLUSIVE
        told = f"{what} is not known" if ratio is None else f"{what} {ratio.value:.2f}, no interval"
    else:
        low, high = ratio.interval or (ratio.value, ratio.value)
        if high < least or low > most:
            outcome = Outcome.FAIL
        elif low >= least and high <= most:
            outcome = Outcome.PASS
        else:
            outcome = Outcome.INCONCLUSIVE
        told = f"{what} {ratio.value:.2f}" + ("" if exact else f" [{low:.2f}, {high:.2f}]")
    return Finding(
        check="speed",
        subject=workload,
        outcome=outcome,
        reason=_REASONS[outcome],
        headline=f"{told}: {asked}",
        estimate=ratio.value if ratio else None,
        interval=ratio.interval if ratio else None,
        limit=limit,
        n=n,
    )


_REASONS = {
    Outcome.PASS: Reason.HELD,
    Outcome.FAIL: Reason.OVER_LIMIT,
    Outcome.INCONCLUSIVE: Reason.UNDERPOWERED,
}
