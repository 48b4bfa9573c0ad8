"""A measurement as one HTML page: speedups, times a token of every arm, and sweeps.

Draws a summary and decides nothing; the headline is given. The page keeps the rules of the run's
report: no script, nothing fetched, every drawing with its numbers in the same row.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from msgspec import Struct

from equivcheck.core.escape import head
from equivcheck.metrics.estimates import Estimate, Quantile
from equivcheck.metrics.summary import ArmComparison, ArmSummary, BenchSummary
from equivcheck.metrics.sweeps import Pays, Sweep, sweeps_of
from equivcheck.records.seal import UNSEALED
from equivcheck.report.figures import EDGE, MARK_WIDTH
from equivcheck.report.html import template

CELLS = 80
MOST_ROWS = 200
"""Most rows of any one table."""
FASTEST = 4.0
"""Ratios are drawn from its reciprocal to it, on a logarithmic line; others stand at its ends."""
NOTHING, WITHHELD = "n/a", "withheld"
PAYS: dict[Pays, str] = {
    "pays": "pays",
    "costs": "costs more than it gains",
    "unclear": "not told apart from 1",
}


class Mark(Struct, frozen=True, kw_only=True):
    """A ratio on its line, in pixels."""

    at: float
    low: float | None
    high: float | None


class RatioRow(Struct, frozen=True, kw_only=True):
    """One line of the tables of speedups and sweeps."""

    cells: tuple[str, ...]
    words: str
    """The ratio with its interval."""
    mark: Mark | None
    """None: there is no ratio."""


class PointView(Struct, frozen=True, kw_only=True):
    """What was measured at one batch size and context."""

    name: str
    speedups: tuple[RatioRow, ...]
    times: tuple[tuple[str, ...], ...]
    loads: tuple[tuple[str, ...], ...] = ()
    """Under load: throughput and latencies of every arm."""
    good: str = ""
    """Limits that make a request a good one; empty: none were stated."""


class SweepView(Struct, frozen=True, kw_only=True):
    """One candidate over one workload along one setting."""

    title: str
    swept: str
    rows: tuple[RatioRow, ...]
    crossover: str


class BenchView(Struct, frozen=True, kw_only=True):
    """All that the page shows."""

    headline: str
    where: str
    finished: bool
    points: tuple[PointView, ...]
    sweeps: tuple[SweepView, ...]


def view_of(summary: BenchSummary, *, headline: str) -> BenchView:
    """Arrange a summary; text from outside is escaped here."""
    machine = (summary.environment.get("device", ""), summary.environment.get("cpu", ""))
    facts = (summary.run, *machine, summary.created, UNSEALED * summary.unsealed)
    return BenchView(
        headline=head(headline, cells=3 * CELLS),
        where=" · ".join(head(fact, cells=CELLS) for fact in facts if fact),
        finished=summary.finished,
        points=tuple(
            PointView(
                name=point.name,
                speedups=tuple(_speedup(e) for e in summary.comparisons if e.point == place),
                times=tuple(_times(e) for e in summary.arm_summaries if e.point == place),
                loads=tuple(
                    cells for e in summary.arm_summaries if e.point == place for cells in _loads(e)
                ),
                good=summary.objectives.name if summary.objectives else "",
            )
            for place, point in enumerate(summary.points)
        ),
        sweeps=tuple(_sweep(sweep) for sweep in sweeps_of(summary)),
    )


def render(summary: BenchSummary, *, headline: str) -> str:
    """The whole document, ending in a line end."""
    return template("bench.html.j2").render(
        view=view_of(summary, headline=headline),
        most_rows=MOST_ROWS,
        width=MARK_WIDTH,
        edge=EDGE,
        middle=MARK_WIDTH / 2,
        fastest=f"{FASTEST:g}",
        slowest=f"1/{FASTEST:g}",
    )


def ratio_words(estimate: Estimate) -> str:
    """``1.52x [1.40, 1.64]``, without the interval where it cannot be estimated."""
    if estimate.value is None:
        return NOTHING
    if estimate.interval is None:
        return f"{estimate.value:.2f}x"
    return f"{estimate.value:.2f}x [{estimate.interval.low:.2f}, {estimate.interval.high:.2f}]"


def mark_of(estimate: Estimate) -> Mark | None:
    """Where a ratio stands on its line; 1 is in the middle."""
    if estimate.value is None:
        return None
    low, high = estimate.interval or (None, None)
    return Mark(
        at=_along(estimate.value),
        low=None if low is None else _along(low),
        high=None if high is None else _along(high),
    )


def _along(ratio: float) -> float:
    share = math.log(max(ratio, 1 / FASTEST)) / math.log(FASTEST)
    return round(MARK_WIDTH / 2 + min(1.0, share) * (MARK_WIDTH / 2 - EDGE), 1)


def _speedup(each: ArmComparison) -> RatioRow:
    speculation = each.speculation
    rate, length = speculation.draft_acceptance_rate.value, speculation.tokens_per_step
    speedup = each.speedup.geometric_mean if each.speedup else Estimate()
    return RatioRow(
        cells=(
            head(each.workload, cells=CELLS),
            head(each.arm, cells=CELLS),
            f"{each.identical}/{each.prompts}",
            NOTHING if rate is None else f"{rate:.2f}",
            NOTHING if length is None else f"{length:.2f}",
        ),
        words=ratio_words(speedup) if each.speedup else WITHHELD,
        mark=mark_of(speedup),
    )


def _times(each: ArmSummary) -> tuple[str, ...]:
    found = each.latency.get("itl_effective", ())
    rate = each.tokens_per_second
    return (
        head(each.workload, cells=CELLS),
        head(each.arm, cells=CELLS),
        NOTHING if rate is None else f"{rate:.1f}",
        *(_milliseconds(quantile) for quantile in found[:3]),
        *[NOTHING] * (3 - len(found)),
    )


def _loads(each: ArmSummary) -> Iterator[tuple[str, ...]]:
    if (load := each.load) is None:
        return
    for name in ("ttft", "tpot", "e2e"):
        found = each.latency.get(name, ())
        yield (
            head(each.workload, cells=CELLS),
            head(each.arm, cells=CELLS),
            name.upper(),
            *(_milliseconds(quantile) for quantile in found),
            *[NOTHING] * (3 - len(found)),
            f"{load.requests_per_second:.2f}",
            NOTHING if load.good is None else f"{load.good}/{load.requests}",
        )


def _milliseconds(quantile: Quantile) -> str:
    if quantile.value is None:
        return NOTHING
    ends = ("?" if end is None else f"{1e3 * end:.2f}" for end in (quantile.low, quantile.high))
    return f"{1e3 * quantile.value:.2f} [{', '.join(ends)}]"


def _sweep(sweep: Sweep) -> SweepView:
    if sweep.crossover is None:
        crossover = f"It falls through 1 at no {sweep.swept} of the sweep."
    else:
        crossover = f"It falls through 1 at about {sweep.swept} {sweep.crossover:.1f}."
    return SweepView(
        title=f"{head(sweep.workload, cells=CELLS)} · {head(sweep.arm, cells=CELLS)}",
        swept=sweep.swept,
        rows=tuple(_sweep_rows(sweep)),
        crossover=crossover,
    )


def _sweep_rows(sweep: Sweep) -> Iterator[RatioRow]:
    for row in sweep.rows:
        yield RatioRow(
            cells=(f"{row.value:g}", PAYS[row.pays]),
            words=ratio_words(row.speedup),
            mark=mark_of(row.speedup),
        )
