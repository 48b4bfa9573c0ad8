"""Along a sweep: where speculation stops paying, and which draft is best. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

from msgspec import Struct

from equivcheck.metrics.estimates import Estimate
from equivcheck.metrics.records import refilled
from equivcheck.metrics.summary import ArmComparison, BenchSummary

Swept = Literal["batch", "context", "gamma", "rate", "burst"]
SWEPT: tuple[Swept, ...] = ("batch", "context", "gamma", "rate", "burst")
Pays = Literal["pays", "costs", "unclear"]


class SweepRow(Struct, frozen=True, kw_only=True):
    """One setting of a sweep."""

    value: float
    """Batch size, context or gamma, whole numbers; requests a second or of a burst."""
    speedup: Estimate
    pays: Pays


class Sweep(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One candidate over one workload along one setting."""

    swept: Swept
    arm: str
    """Without its gamma where that is swept."""
    workload: str
    held: str
    """What stayed the same: ``context 1024``, ``batch 1, context 1024``."""
    load: str | None = None
    """How requests came, where that stayed the same; None: it is what is swept, or they came as
    soon as there was a row for them."""
    rows: tuple[SweepRow, ...]
    crossover: float | None = None
    """Where the speedup falls through 1, between two values; None: nowhere in the sweep."""


class BestDraft(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The fastest of the candidates over one workload at one point."""

    point: int
    workload: str
    arm: str
    speedup: Estimate
    tied: tuple[str, ...] = ()
    """Others whose interval overlaps its own: not told apart."""
    pays: Pays


def sweeps_of(summary: BenchSummary) -> tuple[Sweep, ...]:
    """Every sweep that the measurement holds: more than one batch size, context, gamma or load."""
    found: list[Sweep] = []
    for swept in SWEPT:
        series: dict[tuple[str, str, str, str | None], dict[float, ArmComparison]] = {}
        for each in summary.comparisons:
            setting = _setting(summary, each, swept)
            if setting is not None:
                arm = _without_gamma(each.arm) if swept == "gamma" else each.arm
                place = (each.workload, arm, setting.held, setting.load)
                series.setdefault(place, {})[setting.value] = each
        for (workload, arm, held, load), by_value in series.items():
            if len(by_value) > 1:
                rows = [_row(value, by_value[value]) for value in sorted(by_value)]
                found.append(
                    Sweep(
                        swept=swept,
                        arm=arm,
                        workload=workload,
                        held=held,
                        load=load,
                        rows=tuple(rows),
                        crossover=crossover(rows),
                    )
                )
    return tuple(found)


class _Setting(NamedTuple):
    """Where a comparison stands in a sweep."""

    value: float
    held: str
    load: str | None


def _setting(summary: BenchSummary, each: ArmComparison, swept: Swept) -> _Setting | None:
    """None: it has no such setting."""
    point = summary.points[each.point]
    load = point.arrivals
    name = load.name if load else None
    under = f", {name}" if name else ""
    if swept == "batch":
        held = _held(summary, context=point.context)
        return _Setting(point.batch_size, held + under, name)
    if swept == "context":
        return _Setting(point.context, point.batch + under, name)
    if swept == "gamma":
        return _Setting(_gamma(summary, each), point.name, name)
    if load is None or load.swept != swept:
        return None
    place = f"{point.batch}, context {point.context}"
    if swept == "burst":
        return _Setting(load.requests, place, None)
    return _Setting(load.rate, f"{place}, runs of {load.requests}", None)


def _held(summary: BenchSummary, *, context: int) -> str:
    """What batch sizes have in common; one of them may be a single row, which is not refilled."""
    most = max(point.refills for point in summary.points)
    return f"rows{refilled(most)}, context {context}" if most else f"context {context}"


def crossover(rows: Sequence[SweepRow]) -> float | None:
    """Where the speedup falls from above 1 to below, for the last time.

    Log-linear in both between two neighbouring values.
    """
    known = [(row.value, row.speedup.value) for row in rows if row.speedup.value]
    for (low, above), (high, below) in zip(known[-2::-1], known[:0:-1], strict=True):
        if above >= 1 > below:
            share = math.log(above) / (math.log(above) - math.log(below))
            return math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
    return None


def pays(speedup: Estimate) -> Pays:
    """Whether the whole interval is above 1, or below."""
    if speedup.interval is None:
        return "unclear"
    if speedup.interval.low > 1:
        return "pays"
    return "costs" if speedup.interval.high < 1 else "unclear"


def best_drafts(summary: BenchSummary) -> tuple[BestDraft, ...]:
    """For each point and workload the candidate with the highest speedup; none where withheld."""
    candidates = {arm.name for arm in summary.arms if arm.role == "candidate"}
    found = []
    for point in range(len(summary.points)):
        for workload in dict.fromkeys(each.workload for each in summary.comparisons):
            speedups = {
                each.arm: each.speedup.geometric_mean
                for each in summary.comparisons
                if (each.point, each.workload) == (point, workload)
                and each.arm in candidates
                and each.speedup is not None
            }
            if not speedups:
                continue
            arm = max(speedups, key=lambda name: speedups[name].value or 0.0)
            found.append(
                BestDraft(
                    point=point,
                    workload=workload,
                    arm=arm,
                    speedup=speedups[arm],
                    tied=tuple(
                        name
                        for name, other in speedups.items()
                        if name != arm and _overlap(other, speedups[arm])
                    ),
                    pays=pays(speedups[arm]),
                )
            )
    return tuple(found)


def _row(value: float, comparison: ArmComparison) -> SweepRow:
    speedup = comparison.speedup.geometric_mean if comparison.speedup else Estimate()
    return SweepRow(value=value, speedup=speedup, pays=pays(speedup))


def _overlap(one: Estimate, other: Estimate) -> bool:
    if one.interval is None or other.interval is None:
        return True
    return one.interval.low <= other.interval.high and other.interval.low <= one.interval.high


def _gamma(summary: BenchSummary, comparison: ArmComparison) -> int:
    facts = summary.facts_of(comparison.arm, point=comparison.point)
    return facts.num_speculative_tokens if facts else 0


def _without_gamma(arm: str) -> str:
    name, colon, rest = arm.partition(":")
    options, space, pair = rest.partition(" ")
    kept = [option for option in options.split(",") if not option.startswith("gamma=")]
    return name + colon * bool(kept) + ",".join(kept) + space + pair
