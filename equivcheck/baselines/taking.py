"""Take a baseline from a judged run or from a measurement. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from equivcheck.baselines.facts import device_kind, facts_of, machine_of, under_test
from equivcheck.baselines.snapshot import (
    SCHEMA,
    Baseline,
    BenchFigures,
    CaseFact,
    CaseTimes,
    Ratio,
)
from equivcheck.findings import Finding, Outcome, Reason, worst
from equivcheck.records import CANDIDATE, Evidence
from equivcheck.verdict import LIMIT_CHECKS, Verdict

if TYPE_CHECKING:
    from equivcheck.bench.records import Bench

_IDENTITY_CHECKS = ("greedy", "coupled")


def baseline_of(evidence: Evidence, verdict: Verdict, *, name: str) -> Baseline:
    """What is kept of a run under ``name``."""
    header = evidence.header
    about: dict[str, list[Finding]] = {key: [] for key in evidence.asked}
    for finding in verdict.findings:
        if finding.subject in about:
            about[finding.subject].append(finding)
    others = [f.outcome for f in verdict.findings if f.check not in LIMIT_CHECKS]
    lossless = worst(others)
    return Baseline(
        equivcheck_baseline=SCHEMA,
        name=name,
        run=header.run,
        created=header.created,
        verdict=verdict.outcome,
        headline=verdict.headline,
        lossless=lossless if lossless is not verdict.outcome else None,
        facts=facts_of(header),
        under_test=under_test(header),
        environment=dict(header.environment),
        cases={key: _case(evidence, key, found) for key, found in about.items()},
    )


def _case(evidence: Evidence, key: str, found: list[Finding]) -> CaseFact:
    captured = evidence.captured.get(CANDIDATE, {}).get(key)
    steps = captured.generation.steps if captured else ()
    # Of equals, what was said about the tokens tells most.
    ranked = sorted(found, key=lambda f: (-f.outcome.severity, f.check not in _IDENTITY_CHECKS))
    return CaseFact(
        drafted=sum(step.drafted for step in steps),
        accepted=sum(step.accepted for step in steps),
        outcome=ranked[0].outcome if ranked else Outcome.INCONCLUSIVE,
        state=(ranked[0].reason if ranked else Reason.NOTHING_COMPARED).value,
    )


def with_bench(baseline: Baseline, bench: Bench) -> Baseline:
    """The baseline with the figures of a measurement."""
    return msgspec.structs.replace(baseline, bench=figures_of(bench))


def bench_baseline(bench: Bench, *, name: str) -> Baseline:
    """What is kept of a measurement alone: its times, and which prompts diverged in it."""
    from equivcheck.metrics.summarise import summarise

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
        bench=figures_of(bench),
    )


def _bench_cases(bench: Bench, candidate: str) -> dict[str, CaseFact]:
    from equivcheck.bench.records import TARGET
    from equivcheck.metrics.answers import arrange, token_ids

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
            drafted=sum(step.drafted for step in answer.steps),
            accepted=sum(step.accepted for step in answer.steps),
            outcome={Reason.IDENTICAL: Outcome.PASS, Reason.DIVERGED: Outcome.FAIL}.get(
                state, Outcome.INCONCLUSIVE
            ),
            state=state.value,
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
    """Times by prompt, and the ratios that the summary makes of them."""
    from equivcheck.bench.records import TARGET
    from equivcheck.metrics.answers import arrange
    from equivcheck.metrics.summarise import summarise

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
        machine=machine_of(bench.header.environment),
        times=times,
        p99_ratio={
            workload: Ratio(value=each.p99_ratio.value, interval=each.p99_ratio.interval)
            for workload, each in summary.main.items()
            if workload in times and each.p99_ratio.value is not None
        },
        memory_overhead=facts.memory_overhead if facts else None,
    )
