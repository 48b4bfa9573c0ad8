"""A measurement in words: the tables that `equivcheck bench` prints. From the summary alone."""

from __future__ import annotations

from collections.abc import Iterator

from equivcheck.cli.figure_words import NOTHING, milliseconds, number, times
from equivcheck.cli.load_words import load_lines
from equivcheck.core.escape import visible
from equivcheck.metrics.costs import Costs
from equivcheck.metrics.records import STOCK, TARGET
from equivcheck.metrics.summary import OVERALL, ArmComparison, ArmFacts, ArmSummary, BenchSummary
from equivcheck.metrics.sweeps import best_drafts, sweeps_of
from equivcheck.records.seal import UNSEALED
from equivcheck.report.layout import columns

MOST_POSITIONS = 8
WITHHELD = "withheld"
MARKS = {"pays": "pays", "costs": "costs more than it gains", "unclear": "not told apart from 1"}


def lines_of(summary: BenchSummary) -> Iterator[str]:
    """The whole account, verdict first."""
    yield verdict(summary)
    yield " · ".join(
        part
        for part in (
            summary.run,
            summary.environment.get("device", ""),
            summary.environment.get("cpu", ""),
            summary.created,
        )
        if part
    )
    if summary.unsealed:
        yield UNSEALED
    samples = "prompts, under load runs," if any(p.arrivals for p in summary.points) else "prompts"
    yield f"ratios above 1 are faster; [95 % intervals] take {samples} as the sample"
    if any(each.alone for each in summary.facts):
        yield "arms were measured one after the other: what slowed the machine, slowed some of them"
    for point in range(len(summary.points)):
        yield from _point_lines(summary, point=point)
    yield from _sweep_lines(summary)
    if summary.measuring_cost is not None:
        yield ""
        yield f"measuring itself took {100 * summary.measuring_cost:.2f} % of the time"


def _point_lines(summary: BenchSummary, *, point: int) -> Iterator[str]:
    drafting = [arm for arm in summary.arms if arm.role in ("candidate", "other")]
    for arm in drafting:
        found = list(summary.of(arm.name, point=point).values())
        if any(each.speculation.num_draft_tokens for each in found):
            yield ""
            yield f"{visible(arm.name)} ({arm.role}), {summary.points[point].name}"
            yield from columns([_SPEED, *(_speed_row(each) for each in found)])
            yield from columns([_COST, *(_cost_row(each) for each in found)])
    main = summary.of(summary.candidate, point=point).get(OVERALL)
    others = [arm.name for arm in drafting if arm.name != summary.candidate]
    if main is not None and any(name in main.speedup_over for name in others):
        yield ""
        yield f"{visible(summary.candidate)} over the other drafting arms and libraries"
        rows = [
            (each.workload, *(_over(each, name) for name in others))
            for each in summary.of(summary.candidate, point=point).values()
        ]
        yield from columns([("workload", *others), *rows])
    taxes = [tax for tax in summary.taxes if tax.point == point]
    if taxes:
        yield ""
        yield "identity tax: stock one-token decoding over plain decoding by the contract"
        yield from columns([(tax.workload, times(tax.identity_tax)) for tax in taxes])
    yield ""
    arms = [
        each for each in summary.arm_summaries if (each.point, each.workload) == (point, OVERALL)
    ]
    if summary.points[point].arrivals:
        yield f"each arm over all workloads, {summary.points[point].name}"
        yield from load_lines(summary, point=point)
    else:
        yield f"each arm over all workloads, {summary.points[point].name}; milliseconds"
        yield from columns([_ARM, *(_arm_row(each) for each in arms)])
        yield ""
        yield "its steps, milliseconds; the floor is what reading weights and cache takes"
        yield from columns([_STEP, *(_step_row(each) for each in arms)])
    yield ""
    yield "memory, MiB"
    facts = [facts for facts in summary.facts if facts.point == point]
    yield from columns([_MEMORY, *(_memory_row(each) for each in facts)])
    if any(each.memory.process is not None for each in facts):
        yield "the peak of an engine in a process of its own is that of all that the process holds"
    for each in facts:
        yield from (f"{visible(each.arm)}: {visible(cost)}" for cost in each.costs)


def verdict(summary: BenchSummary) -> str:
    """One line."""
    differing = [each for each in summary.main.values() if not each.holds]
    if differing:
        where = differing[-1]
        first = visible(next(iter(where.diverged), "unknown"))
        return (
            f"SPEEDUP WITHHELD: {where.prompts - where.identical} of {where.prompts} prompts have "
            f"other tokens than the target's, the first {first}"
        )
    overall = summary.main.get(OVERALL)
    if overall is None or overall.speedup is None:
        return "NOTHING MEASURED: no prompt was answered by candidate and target"
    over = overall.speedup_over.get("stock")
    stock = f", {times(over.geometric_mean)} over one-token decoding" if over else ""
    load = summary.points[overall.point].arrivals
    under = f", by the time of requests under {load.name}" if load else ""
    return (
        f"{times(overall.speedup.geometric_mean)} over plain decoding{stock}{under}; "
        f"tokens identical on {overall.identical} of {overall.prompts} prompts"
    )


_SPEED = (
    "workload",
    "identical",
    "acceptance",
    "tokens/step",
    "over target",
    "over stock",
    "total times",
    "p99 a token",
)


def _speed_row(each: ArmComparison) -> tuple[str, ...]:
    found = each.speculation
    unknown = each.p99_ratio.value is not None and each.p99_ratio.interval is None
    return (
        each.workload,
        f"{each.identical}/{each.prompts}",
        times(found.draft_acceptance_rate, unit=""),
        number(found.tokens_per_step),
        _over(each, TARGET),
        _over(each, STOCK),
        times(each.speedup.totals) if each.speedup else WITHHELD,
        times(each.p99_ratio) + (" (not estimable)" if unknown else ""),
    )


def _over(each: ArmComparison, arm: str) -> str:
    if each.speedup is None:
        return WITHHELD
    found = each.speedup_over.get(arm)
    return times(found.geometric_mean) if found else NOTHING


_COST = (
    "workload",
    "by position",
    "wasted",
    "c",
    "v",
    "break-even",
    "predicted",
    "measured",
    "of predicted",
)


def _cost_row(each: ArmComparison) -> tuple[str, ...]:
    found, costs = each.speculation, each.costs.get(TARGET, Costs())
    return (
        each.workload,
        " ".join(f"{rate:.2f}" for rate in found.marginal_accept_rates[:MOST_POSITIONS]),
        f"{found.wasted_draft_tokens} of {found.num_draft_tokens}",
        number(costs.c, digits=3),
        number(costs.v, digits=3),
        number(costs.break_even),
        number(costs.predicted_speedup),
        number(each.speedup.geometric_mean.value) if each.speedup else WITHHELD,
        number(costs.measured_over_predicted) if each.speedup else WITHHELD,
    )


_ARM = ("arm", "tokens/s", "MBU", "TTFT p50", "TPOT p50", "a token p50", "p90", "p99", "n")


def _arm_row(each: ArmSummary) -> tuple[str, ...]:
    token = each.latency.get("itl_effective", ())
    ttft, tpot = each.latency.get("ttft", ()), each.latency.get("tpot", ())
    return (
        visible(each.arm),
        number(each.tokens_per_second, digits=1),
        number(each.mbu),
        milliseconds(ttft[0]) if ttft else NOTHING,
        milliseconds(tpot[0]) if tpot else NOTHING,
        *(milliseconds(quantile) for quantile in token),
        *((NOTHING,) * (3 - len(token))),
        str(token[0].n) if token else "0",
    )


_STEP = ("arm", "p50", "p90", "p99", "n", "floor", "of the floor")


def _step_row(each: ArmSummary) -> tuple[str, ...]:
    steps, floor = each.latency.get("step_latency", ()), each.floor
    return (
        visible(each.arm),
        *(milliseconds(quantile) for quantile in steps),
        *((NOTHING,) * (3 - len(steps))),
        str(steps[0].n) if steps else "0",
        number(1e3 * floor.seconds, digits=3) if floor else NOTHING,
        number(floor.fraction) if floor else NOTHING,
    )


_MEMORY = ("arm", "peak", "target", "draft", "KV", "working", "times the target arm's")


def _memory_row(facts: ArmFacts) -> tuple[str, ...]:
    held = facts.memory
    return (
        visible(facts.arm),
        *(_mebibytes(part) for part in (held.peak, held.target, held.draft, held.kv, held.working)),
        number(facts.memory_overhead),
    )


def _mebibytes(count: int | None) -> str:
    return NOTHING if count is None else f"{count / 2**20:.1f}"


def _sweep_lines(summary: BenchSummary) -> Iterator[str]:
    for sweep in sweeps_of(summary):
        yield ""
        yield f"{sweep.workload}, {visible(sweep.arm)}: speedup by {sweep.swept}, {sweep.held}"
        yield from columns(
            [(f"{row.value:g}", times(row.speedup), MARKS[row.pays]) for row in sweep.rows]
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
                    visible(best.arm),
                    times(best.speedup),
                    MARKS[best.pays],
                    f"not told apart from {visible(', '.join(best.tied))}" if best.tied else "",
                )
                for best in best_drafts(summary)
            ]
        )
