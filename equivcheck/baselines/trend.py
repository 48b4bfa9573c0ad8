"""Acceptance over the saved states of a baseline, and where it stepped. Pure."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence

from msgspec import Struct

from equivcheck.baselines.facts import Differing, first_difference, other_prompts
from equivcheck.core.generation import Counts
from equivcheck.records.baseline_record import Baseline, HistoryPoint, point_of

LEAST_NOISE = 0.005
"""Least noise of one point, in acceptance; what repeats exactly has none, and would step at every
rounding."""


class Value(Struct, frozen=True, kw_only=True):
    """One point of a series."""

    created: str
    run: str
    commit: str | None
    rate: float
    step: bool = False
    """Whether the level changes here."""


class Trend(Struct, frozen=True, kw_only=True):
    """One workload, the oldest point first."""

    workload: str
    values: tuple[Value, ...]


class Trends(Struct, frozen=True, kw_only=True):
    """All workloads of a baseline."""

    name: str
    trends: tuple[Trend, ...]
    left_out: tuple[Differing, ...] = ()
    """Why runs that were given could not be lined up."""


def trends_of(
    baseline: Baseline, runs: Sequence[Baseline] = (), *, newest: HistoryPoint | None = None
) -> Trends:
    """The series of a baseline: its history, itself, then ``runs`` that are comparable with it.

    Args:
        baseline: Where the history is from.
        runs: Later ones; those that cannot be compared are left out, with the reason.
        newest: A last point, which is known to be comparable.
    """
    points = [*baseline.history, point_of(baseline)]
    left_out = []
    for run in sorted(runs, key=lambda run: run.created):
        differing = first_difference(base=baseline.facts, new=run.facts)
        if differing := differing or other_prompts(baseline.prompts, run.prompts):
            left_out.append(differing)
        elif run.run_key != baseline.run_key:
            points.append(point_of(run))
    if newest is not None and (newest.run, newest.created) != baseline.run_key:
        points.append(newest)
    workloads = dict.fromkeys(workload for point in points for workload in point.counts)
    return Trends(
        name=baseline.name,
        trends=tuple(trend for name in workloads if (trend := _trend(name, points))),
        left_out=tuple(left_out),
    )


def _trend(workload: str, points: Sequence[HistoryPoint]) -> Trend | None:
    none = Counts(drafted=0, accepted=0)
    told = [
        (point, counts.accepted / counts.drafted)
        for point in points
        if (counts := point.counts.get(workload, none)).drafted
    ]
    if not told:
        return None
    steps = set(steps_of([rate for _, rate in told]))
    return Trend(
        workload=workload,
        values=tuple(
            Value(
                created=point.created,
                run=point.run,
                commit=point.commit,
                rate=rate,
                step=place in steps,
            )
            for place, (point, rate) in enumerate(told)
        ),
    )


def steps_of(values: Sequence[float], *, least_noise: float = LEAST_NOISE) -> list[int]:
    """Indices at which the level of a series changes, in order.

    The segmentation with the least squares plus ``3 * noise**2 * log(n)`` a step, found exactly by
    optimal partitioning (Jackson et al., IEEE Signal Processing Letters 12, 2005). The penalty is
    one and a half times that of Yao (Statistics and Probability Letters 6, 1988), because the noise
    is estimated from the same few points: from the median absolute difference of neighbours, which
    a few steps do not move.

    Args:
        values: The series, the oldest first.
        least_noise: Floor of the noise of one point, in the unit of the values.
    """
    n = len(values)
    if n < 2:
        return []
    neighbours = [abs(b - a) for a, b in itertools.pairwise(values)]
    noise = max(least_noise, 1.4826 * statistics.median(neighbours) / math.sqrt(2))
    penalty = 3 * noise**2 * math.log(n)
    sums, squares = [0.0], [0.0]
    for value in values:
        # Around the first value, so that equal values leave exactly nothing.
        sums.append(sums[-1] + value - values[0])
        squares.append(squares[-1] + (value - values[0]) ** 2)

    def cost(start: int, end: int) -> float:
        return squares[end] - squares[start] - (sums[end] - sums[start]) ** 2 / (end - start)

    best, last = [-penalty], [0]
    for end in range(1, n + 1):
        found = min((best[start] + cost(start, end) + penalty, start) for start in range(end))
        best.append(found[0])
        last.append(found[1])
    steps = []
    place = last[n]
    while place > 0:
        steps.append(place)
        place = last[place]
    return steps[::-1]
