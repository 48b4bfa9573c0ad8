"""Take a baseline's figures from a measurement, or a baseline of a measurement alone. Pure."""

from __future__ import annotations

import msgspec

from equivcheck.baselines.facts import device_kind, machine_of
from equivcheck.core.findings import Outcome, Reason
from equivcheck.metrics.answers import arrange, token_ids
from equivcheck.metrics.records import TARGET, Bench
from equivcheck.metrics.summarise import summarise
from equivcheck.records.baseline_record import (
    SCHEMA,
    Baseline,
    BenchFigures,
    CaseFact,
    CaseTimes,
    Ratio,
)


def with_bench(baseline: Baseline, bench: Bench) -> Baseline:
    """The baseline with the figures of a measurement."""
    unsealed = baseline.unsealed or bench.unsealed
    return msgspec.structs.replace(baseline, bench=figures_of(bench), unsealed=unsealed)


def bench_baseline(bench: Bench, *, name: str) -> Baseline:
    """What is kept of a measurement alone: its times, and which prompts diverged in it."""
    header = bench.header
    summary = summarise(bench)
    told = {arm.name: arm.spec for arm in header.settings.arms}
    diverged = [key for each in summary.main.values() for key in each.diverged]
    holds = summary.finished and all(each.holds for each in summary.main.values())
    outcome = Outcome.FAIL if diverged else Outcome.PASS if holds else Outcome.INCONCLUSIVE
    return Baseline(
        equivcheck_baseline=SCHEMA,
        kind="bench",
        name=name,
        run=header.run,
        created=header.created,
        verdict=outcome,
        headline=f"measured {summary.answers} of {summary.expected} answers",
        facts=bench_facts(bench),
        under_test={"candidate": told[summary.candidate]}
        | ({"models.draft": header.models["draft"]} if "draft" in header.models else {}),
        environment=dict(header.environment),
        cases=_bench_cases(bench, summary.candidate),
        unsealed=bench.unsealed,
        bench=figures_of(bench),
    )


def _bench_cases(bench: Bench, candidate: str) -> dict[str, CaseFact]:
    arranged = arrange(bench)
    names = tuple(bench.header.prompts)
    ours = arranged.of(point=0, arm=candidate, workloads=names)
    target = arranged.of(point=0, arm=TARGET, workloads=names)
    given, wanted = token_ids(ours.measured), token_ids(target.measured)
    cases = {}
    first = ours.first
    for key in (key for keys in bench.header.prompts.values() for key in keys if key in first):
        answer = first[key]
        same = key in wanted and given[key] == wanted[key] and len(wanted[key]) == 1
        state = Reason.IDENTICAL if same else Reason.DIVERGED
        if key not in wanted:
            state = Reason.NOTHING_COMPARED
        cases[key] = CaseFact(
            drafted=answer.drafts_counted.drafted,
            accepted=answer.drafts_counted.accepted,
            outcome={Reason.IDENTICAL: Outcome.PASS, Reason.DIVERGED: Outcome.FAIL}.get(
                state, Outcome.INCONCLUSIVE
            ),
            state=state.value,
            prompt=bench.header.prompt_digests.get(key),
        )
    return cases


def bench_facts(bench: Bench) -> dict[str, str]:
    """What has to be equal for the ratios of two measurements to be comparable."""
    header, settings = bench.header, bench.header.settings
    probe = bench.probe(point=0, arm="target")
    facts = {f"suites.{name}": digest for name, digest in header.suites.items()}
    facts |= {
        "setup.dtype": settings.setup.dtype,
        "point": settings.points[0].name,
        "tokens": str(settings.tokens),
        "target": bench.arms["target"].spec,
    }
    if probe is not None:
        facts["device"] = device_kind(probe.capabilities.device)
    return facts | {
        f"models.{role}": digest for role, digest in header.models.items() if role != "draft"
    }


def figures_of(bench: Bench) -> BenchFigures:
    """Times by prompt, the ratios that the summary makes of them, and where tokens differ."""
    summary = summarise(bench)
    arranged = arrange(bench)
    times: dict[str, dict[str, CaseTimes]] = {}
    for workload, keys in bench.header.prompts.items():
        compared = summary.main.get(workload)
        if compared is None or not compared.holds:
            continue
        ours = arranged.of(point=0, arm=summary.candidate, workloads=[workload])
        first = {(m.workload, m.chunk): m.generation.key for m in reversed(ours.measured)}
        target = arranged.of(point=0, arm=TARGET, workloads=[workload]).chunks
        found = {
            first[place]: CaseTimes(target=target[place].per_token, candidate=timed.per_token)
            for place, timed in ours.chunks.items()
            if place in target
        }
        times[workload] = {key: found[key] for key in keys if key in found}
    facts = summary.facts_of(summary.candidate)
    return BenchFigures(
        facts=bench_facts(bench),
        prompts=bench.header.prompt_digests,
        machine=machine_of(bench.header.environment),
        times=times,
        p99_ratio={
            workload: Ratio(value=each.p99_ratio.value, interval=each.p99_ratio.interval)
            for workload, each in summary.main.items()
            if workload in times and each.p99_ratio.value is not None
        },
        memory_overhead=facts.memory_overhead if facts else None,
        diverged={
            workload: summary.main[workload].diverged
            for workload in bench.header.prompts
            if workload in summary.main and summary.main[workload].diverged
        },
        missing=summary.missing,
    )
