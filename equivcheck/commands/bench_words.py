"""A measurement in words: the tables that `equivcheck bench` prints. From the summary alone."""

from __future__ import annotations

from collections.abc import Iterator

from equivcheck.metrics.estimates import Estimate, Quantile
from equivcheck.metrics.summary import ArmFacts, BenchSummary, Comparison
from equivcheck.metrics.sweeps import best_drafts, sweeps_of
from equivcheck.report.layout import columns

NOTHING = "n/a"
WITHHELD = "withheld"
MARKS = {"pays": "pays", "costs": "costs more than it gains", "unclear": "not told apart from 1"}


def lines_of(summary: BenchSummary) -> Iterator[str]:
    """The whole account, verdict first."""
    yield verdict(summary)
    yield (
        f"{summary.run} · {summary.environment.get('device', '')} · "
        f"{summary.environment.get('cpu', '')} · {summary.created}"
    )
    yield "ratios above 1 are faster; [95 % intervals] take prompts as the sample"
    for point, place in enumerate(summary.points):
        yield ""
        yield f"at {place.name}"
        yield from columns([_HEADER, *_speed_rows(summary, point=point)])
        yield ""
        yield from columns([_COST_HEADER, *_cost_rows(summary, point=point)])
        yield ""
        yield from columns([_ARM_HEADER, *_arm_rows(summary, point=point)])
        yield ""
        yield from columns([_MEMORY_HEADER, *_memory_rows(summary, point=point)])
    yield from _sweep_lines(summary)
    yield ""
    if summary.measuring_cost is not None:
        yield f"measuring itself took {100 * summary.measuring_cost:.2f} % of the time"


def verdict(summary: BenchSummary) -> str:
    """One line."""
    differing = [each for each in summary.main.values() if not each.holds]
    if differing:
        where = differing[-1]
        return (
            f"SPEEDUP WITHHELD: {where.prompts - where.identical} of {where.prompts} prompts have "
            f"other tokens than the target's, the first {next(iter(where.diverged), 'unknown')}"
        )
    overall = summary.main.get("overall")
    if overall is None or overall.speedup is None:
        return "NOTHING MEASURED: no prompt was answered by candidate and target"
    over = overall.speedup_over.get("stock")
    stock = f", {times(over.geometric_mean)} over one-token decoding" if over else ""
    return (
        f"{times(overall.speedup.geometric_mean)} over plain decoding{stock}; "
        f"tokens identical on {overall.identical} of {overall.prompts} prompts"
    )


def times(estimate: Estimate, *, unit: str = "x") -> str:
    """``1.52x [1.40, 1.64]``."""
    if estimate.value is None:
        return NOTHING
    if estimate.interval is None:
        return f"{estimate.value:.2f}{unit}"
    return f"{estimate.value:.2f}{unit} [{estimate.interval.low:.2f}, {estimate.interval.high:.2f}]"


def number(value: float | None, *, digits: int = 2) -> str:
    """A number, or that there is none."""
    return NOTHING if value is None else f"{value:.{digits}f}"


def milliseconds(quantile: Quantile) -> str:
    """``7.10 [6.90, 7.40]``; an end that is not estimable is a question mark."""
    if quantile.value is None:
        return NOTHING
    low, high = (
        "?" if end is None else f"{1e3 * end:.2f}" for end in (quantile.low, quantile.high)
    )
    if low == high == "?":
        return f"{1e3 * quantile.value:.2f} (not estimable)"
    return f"{1e3 * quantile.value:.2f} [{low}, {high}]"


_HEADER = (
    "workload",
    "arm",
    "identical",
    "acceptance",
    "tokens/step",
    "by position",
    "wasted",
    "over target",
    "over stock",
    "totals",
    "p99 ratio",
)


def _speed_rows(summary: BenchSummary, *, point: int) -> Iterator[tuple[str, ...]]:
    for each in summary.comparisons:
        if each.point == point:
            yield _speed_row(each)


def _speed_row(each: Comparison) -> tuple[str, ...]:
    found, over = each.speculation, each.speedup_over.get("stock")
    return (
        each.workload,
        each.arm,
        f"{each.identical}/{each.prompts}",
        times(found.draft_acceptance_rate, unit=""),
        number(found.mean_acceptance_length),
        " ".join(f"{rate:.2f}" for rate in found.marginal_accept_rates[:8]),
        f"{found.wasted_draft_tokens}/{found.num_draft_tokens}",
        times(each.speedup.geometric_mean) if each.speedup else WITHHELD,
        times(over.geometric_mean) if over else NOTHING if each.speedup else WITHHELD,
        times(each.speedup.totals) if each.speedup else WITHHELD,
        times(each.p99_ratio)
        + ("" if each.p99_ratio.interval or each.p99_ratio.value is None else " not estimable"),
    )


_COST_HEADER = (
    "workload",
    "arm",
    "over others (geometric mean)",
    "c",
    "v",
    "break-even",
    "predicted",
    "measured",
)


def _cost_rows(summary: BenchSummary, *, point: int) -> Iterator[tuple[str, ...]]:
    for each in summary.comparisons:
        costs = each.costs.get("target")
        if each.point != point or costs is None:
            continue
        others = (
            f"{name}: {times(found.geometric_mean)}"
            for name, found in each.speedup_over.items()
            if name not in ("target", "stock")
        )
        yield (
            each.workload,
            each.arm,
            next(others, NOTHING),
            number(costs.c, digits=3),
            number(costs.v, digits=3),
            number(costs.break_even),
            number(costs.predicted_speedup),
            number(each.speedup.geometric_mean.value) if each.speedup else WITHHELD,
        )


_ARM_HEADER = (
    "workload",
    "arm",
    "tokens/s",
    "MBU",
    "tax",
    "TTFT p50 ms",
    "TPOT p50 ms",
    "per token p50 ms",
    "p90",
    "p99",
    "n",
)


def _arm_rows(summary: BenchSummary, *, point: int) -> Iterator[tuple[str, ...]]:
    taxes = {tax.workload: tax.identity_tax for tax in summary.taxes if tax.point == point}
    for each in summary.arm_summaries:
        if each.point != point:
            continue
        token = each.latency.get("itl_effective", ())
        ttft, tpot = each.latency.get("ttft", ()), each.latency.get("tpot", ())
        yield (
            each.workload,
            each.arm,
            number(each.tokens_per_second, digits=1),
            number(each.mbu),
            times(taxes[each.workload]) if each.arm == "target" and each.workload in taxes else "",
            milliseconds(ttft[0]) if ttft else NOTHING,
            milliseconds(tpot[0]) if tpot else NOTHING,
            *(milliseconds(quantile) for quantile in token),
            *((NOTHING,) * (3 - len(token))),
            str(token[0].n) if token else "0",
        )


_MEMORY_HEADER = ("arm", "peak MiB", "target", "draft", "KV", "working", "times the target arm's")


def _memory_rows(summary: BenchSummary, *, point: int) -> Iterator[tuple[str, ...]]:
    for facts in summary.facts:
        if facts.point == point:
            yield _memory_row(facts)


def _memory_row(facts: ArmFacts) -> tuple[str, ...]:
    held = facts.memory
    return (
        facts.arm,
        *(_mebibytes(part) for part in (held.peak, held.target, held.draft, held.kv, held.working)),
        number(facts.memory_overhead),
    )


def _mebibytes(count: int | None) -> str:
    return NOTHING if count is None else f"{count / 2**20:.1f}"


def _sweep_lines(summary: BenchSummary) -> Iterator[str]:
    for sweep in sweeps_of(summary):
        yield ""
        yield f"{sweep.workload}, {sweep.arm}: speedup by {sweep.swept}"
        yield from columns(
            [(str(row.value), times(row.speedup), MARKS[row.pays]) for row in sweep.rows]
        )
        if sweep.crossover is None:
            yield f"  it falls through 1 at no {sweep.swept} of the sweep"
        else:
            yield f"  it falls through 1 at about {sweep.swept} {sweep.crossover:.1f}"
    candidates = [arm for arm in summary.arms if arm.role == "candidate"]
    if len(candidates) > 1:
        yield ""
        yield "best draft"
        yield from columns(
            [
                (
                    best.workload,
                    summary.points[best.point].name,
                    best.arm,
                    times(best.speedup),
                    MARKS[best.pays],
                    f"not told apart: {', '.join(best.tied)}" if best.tied else "",
                )
                for best in best_drafts(summary)
            ]
        )
