"""Hold a measurement to the project's limits on speed, tail and memory. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from equivcheck.baselines.cells import geometric_mean
from equivcheck.findings import Finding, Outcome, Reason
from equivcheck.settings import WorkloadLimits
from equivcheck.snapshot import BenchFigures, Ratio


def limit_findings(
    figures: BenchFigures, limits: Mapping[str, WorkloadLimits]
) -> tuple[Finding, ...]:
    """One finding a limit on times or memory, of the workloads that were measured."""
    measured = {name.removeprefix("suites.") for name in figures.facts if "suites." in name}
    return tuple(
        finding
        for workload, limit in limits.items()
        if workload in measured
        for finding in _findings(figures, workload, limit)
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
