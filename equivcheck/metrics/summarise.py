"""From the raw lines of a measurement to its summary. Pure: the same lines, the same numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from equivcheck.metrics.answers import Answers, Arranged, arrange, token_ids
from equivcheck.metrics.costs import Costs, costs_of, memory_bandwidth_utilisation
from equivcheck.metrics.estimates import (
    Estimate,
    geometric_mean_ratio,
    quantile_ratio,
    ratio_of_totals,
)
from equivcheck.metrics.floor import floor_of, mean_context
from equivcheck.metrics.latency import effective_latencies, latency_quantiles
from equivcheck.metrics.records import STOCK, TARGET, Bench, Memory
from equivcheck.metrics.speculation import ratio, speculation_of
from equivcheck.metrics.summary import (
    OVERALL,
    ArmComparison,
    ArmFacts,
    ArmSummary,
    BenchSummary,
    Speedup,
    Tax,
)
from equivcheck.metrics.under_load import (
    effective_gaps,
    goodput_over,
    load_quantiles,
    load_summary,
)

MOST_DIVERGED = 5


def summarise(bench: Bench) -> BenchSummary:
    """Sum up a measurement, finished or not."""
    arranged = arrange(bench)
    settings = bench.header.settings
    points = range(len(settings.points))
    spans = spans_of(bench)
    drafting = [arm.name for arm in settings.arms if arm.role in ("candidate", "other")]
    inside = sum(session.engine_seconds for session in bench.sessions)
    wall = sum(session.wall_seconds for session in bench.sessions)
    return BenchSummary(
        run=bench.header.run,
        unsealed=bench.unsealed,
        shard=bench.header.shard,
        created=bench.header.created,
        points=settings.points,
        arms=settings.arms,
        workloads=tuple(bench.header.prompts),
        candidate=next(arm.name for arm in settings.arms if arm.role == "candidate"),
        comparisons=tuple(
            compared
            for point in points
            for arm in drafting
            for workload, workloads in spans
            if (
                compared := compare(
                    bench, arranged, point=point, arm=arm, workload=workload, workloads=workloads
                )
            )
        ),
        arm_summaries=tuple(
            summed
            for point in points
            for arm in bench.arms
            for workload, workloads in spans
            if (
                summed := arm_summary(
                    bench, arranged, point=point, arm=arm, workload=workload, workloads=workloads
                )
            )
        ),
        taxes=tuple(
            taxed
            for point in points
            for workload, workloads in spans
            if (taxed := tax(arranged, point=point, workload=workload, workloads=workloads))
        ),
        facts=tuple(facts(bench)),
        environment=bench.header.environment,
        objectives=settings.objectives,
        copy_bytes_per_second=bench.bandwidth.bytes_per_second if bench.bandwidth else None,
        measuring_cost=ratio(wall - inside, of=wall),
        answers=len(bench.asked & bench.expected),
        expected=len(bench.expected),
    )


def spans_of(bench: Bench) -> list[tuple[str, tuple[str, ...]]]:
    """Every workload by itself, then all together."""
    names = tuple(bench.header.prompts)
    return [*((name, (name,)) for name in names), (OVERALL, names)]


def compare(
    bench: Bench,
    arranged: Arranged,
    *,
    point: int,
    arm: str,
    workload: str,
    workloads: Sequence[str],
) -> ArmComparison | None:
    """One drafting arm against all others; None where it was not measured beside the target."""
    ours = arranged.of(point=point, arm=arm, workloads=workloads)
    target = arranged.of(point=point, arm=TARGET, workloads=workloads)
    wanted, given = token_ids(target.measured), token_ids(ours.measured)
    both = [key for key in given if key in wanted]
    if not both:
        return None
    diverged = [key for key in both if given[key] != wanted[key] or len(wanted[key]) > 1]
    others = {
        other: arranged.of(point=point, arm=other, workloads=workloads)
        for other in bench.arms
        if other != arm
    }
    # A comparison may set aside the baseline's own divergence, never the compared arm's.
    over = {} if diverged else {name: faster(ours, other) for name, other in others.items()}
    plain_arms = {name: other for name, other in others.items() if name in (TARGET, STOCK)}
    p99 = {name: latency_ratio(ours, plain, p=0.99) for name, plain in plain_arms.items()}
    speculation = speculation_of(list(ours.first.values()))
    probe = bench.probe(point=point, arm=arm)
    return ArmComparison(
        point=point,
        arm=arm,
        workload=workload,
        prompts=len(both),
        identical=len(both) - len(diverged),
        diverged=tuple(diverged[:MOST_DIVERGED]),
        speculation=speculation,
        speedup=over.get(TARGET),
        speedup_over={name: found for name, found in over.items() if found},
        p50_ratio=latency_ratio(ours, target, p=0.5),
        p99_ratio=p99.get(TARGET, Estimate()),
        p99_over=p99,
        goodput_over=goodput_over(
            ours.runs,
            {name: plain.runs for name, plain in plain_arms.items()},
            bench.header.settings.objectives,
        ),
        costs={
            name: found
            for name, plain in plain_arms.items()
            if (
                found := costs_of(
                    speculation,
                    step_seconds=ours.later_step_seconds,
                    baseline_step_seconds=plain.later_step_seconds,
                    draft_token_seconds=probe.draft_token_seconds if probe else None,
                    measured_speedup=_value(over.get(name)),
                )
            )
            != Costs()
        },
    )


def _value(speedup: Speedup | None) -> float | None:
    return speedup.geometric_mean.value if speedup else None


def faster(ours: Answers, other: Answers) -> Speedup | None:
    """How many times as fast as another arm, chunk by chunk, by time a token.

    Under load, by the time of requests, run by run.
    """
    above, below = other.samples, ours.samples
    places = [place for place in below if place in above]
    if not places:
        return None
    pairs = [(above[place].per_token, below[place].per_token) for place in places]
    numerators, denominators = [a for a, _ in pairs], [b for _, b in pairs]
    # Totals weigh a chunk by its work, which is this arm's tokens on both sides.
    work = [below[place].tokens for place in places]
    return Speedup(
        geometric_mean=geometric_mean_ratio(numerators, denominators),
        totals=ratio_of_totals(
            numerators=[a * n for a, n in zip(numerators, work, strict=True)],
            denominators=[b * n for b, n in zip(denominators, work, strict=True)],
        ),
    )


def latency_ratio(ours: Answers, target: Answers, *, p: float) -> Estimate:
    """Quantile of the effective latency a token, over the target's."""
    if runs := ours.runs:
        pairs = [(runs[key], other) for key, other in target.runs.items() if key in runs]
        return quantile_ratio(
            [effective_gaps(run) for run, _ in pairs],
            [effective_gaps(run) for _, run in pairs],
            p=p,
        )
    mine, theirs = ours.first, target.first
    keys = [key for key in mine if key in theirs]
    return quantile_ratio(
        [effective_latencies(mine[key]) for key in keys],
        [effective_latencies(theirs[key]) for key in keys],
        p=p,
    )


def arm_summary(
    bench: Bench,
    arranged: Arranged,
    *,
    point: int,
    arm: str,
    workload: str,
    workloads: Sequence[str],
) -> ArmSummary | None:
    """One arm by itself; None where it answered nothing."""
    answers = arranged.of(point=point, arm=arm, workloads=workloads)
    if not answers.measured:
        return None
    chunks, runs = answers.chunks.values(), list(answers.runs.values())
    tokens = sum(chunk.tokens for chunk in chunks)
    seconds = sum(timed.seconds for timed in (runs or chunks))
    probe = bench.probe(point=point, arm=arm)
    plain = not any(answer.drafts_counted.drafted for answer in answers.generations)
    step = answers.later_step_seconds
    bandwidth = bench.bandwidth.bytes_per_second if bench.bandwidth else None
    context = mean_context(answers.generations)
    batch_size = bench.header.settings.points[point].batch_size
    return ArmSummary(
        point=point,
        arm=arm,
        workload=workload,
        prompts=len(answers.first),
        tokens=tokens,
        tokens_per_second=ratio(tokens, of=seconds),
        latency=load_quantiles(runs) if runs else latency_quantiles(list(answers.first.values())),
        load=load_summary(runs, bench.header.settings.objectives),
        step_seconds=step,
        mbu=memory_bandwidth_utilisation(
            step_bytes=probe.step_bytes if probe else None,
            step_seconds=step,
            bandwidth=bandwidth,
        )
        if plain
        else None,
        floor=floor_of(
            weight_bytes=probe.weight_bytes,
            position_bytes=probe.position_bytes,
            positions=None
            if context is None
            else context * answers.rows(probe, batch_size=batch_size),
            bandwidth=bandwidth,
            step_seconds=step,
        )
        if plain and probe
        else None,
    )


def tax(arranged: Arranged, *, point: int, workload: str, workloads: Sequence[str]) -> Tax | None:
    """The stock arm's speed over the target's; None without a stock arm."""
    stock = arranged.of(point=point, arm=STOCK, workloads=workloads)
    target = arranged.of(point=point, arm=TARGET, workloads=workloads)
    found = faster(stock, target)
    if found is None:
        return None
    return Tax(point=point, workload=workload, identity_tax=found.geometric_mean)


def facts(bench: Bench) -> Iterator[ArmFacts]:
    """What every arm is and holds where it was probed."""
    for point in range(len(bench.header.settings.points)):
        target = bench.probe(point=point, arm=TARGET)
        held = target.memory if target else Memory()
        for arm in bench.arms:
            probe = bench.probe(point=point, arm=arm)
            if probe is None:
                continue
            peak, whole = probe.memory.peak, held.peak
            # A whole process, libraries included, and the tensors of an engine do not compare.
            alike = (probe.memory.process is None) == (held.process is None)
            yield ArmFacts(
                point=point,
                arm=arm,
                engine=probe.capabilities.engine,
                device=probe.capabilities.device,
                dtype=probe.capabilities.dtype,
                num_speculative_tokens=probe.capabilities.num_speculative_tokens,
                drafter=probe.capabilities.drafter,
                method=probe.capabilities.method,
                identity=probe.capabilities.identity,
                clock=probe.clock,
                memory=probe.memory,
                memory_overhead=peak / whole if alike and peak is not None and whole else None,
                costs=bench.spent_by(point=point, arm=arm),
                alone=probe.alone,
            )
