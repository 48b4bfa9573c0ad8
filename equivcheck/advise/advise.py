"""From a summary, a proof and the routes there were to the routes there should be. Pure."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import structs

from equivcheck.advise.decide import Figures, decide
from equivcheck.advise.policy import Cost, Policy, Proof, Route, Routes
from equivcheck.core.errors import SettingsError, unknown_name
from equivcheck.core.escape import visible
from equivcheck.metrics.costs import Costs
from equivcheck.metrics.estimates import Estimate
from equivcheck.metrics.load_records import Arrivals, Objectives
from equivcheck.metrics.records import STOCK, TARGET
from equivcheck.metrics.speculation import ratio
from equivcheck.metrics.summary import ArmComparison, BenchSummary
from equivcheck.metrics.sweeps import best_drafts, sweeps_of

TOKENS_PRICED = 1_000_000
SECONDS_AN_HOUR = 3600


def advise(
    summary: BenchSummary,
    *,
    proof_of: Callable[[str], Proof],
    policy: Policy,
    previous: Routes | None = None,
    arm: str | None = None,
    baseline: str | None = None,
    point: int = 0,
    price_per_hour: float | None = None,
) -> Routes:
    """Advise on every workload.

    Args:
        summary: Of a measurement.
        proof_of: What is known of the equivalence of a candidate, by the arm's name.
        policy: Thresholds.
        previous: The routes in force; where there are none for the same decoder, it is off.
        arm: Candidate; None: the fastest of them for each workload.
        baseline: Plain arm that one would run otherwise; None: the stock one, if it was measured.
        point: Which of the measurement's points.
        price_per_hour: Of the machine, in any currency.

    Raises:
        SettingsError: there is no such arm, baseline or point, or nothing to advise on.
    """
    candidates = [each.name for each in summary.arms if each.role == "candidate"]
    plain = [each.name for each in summary.arms if each.role in (TARGET, STOCK)]
    if arm is not None and arm not in candidates:
        raise SettingsError(unknown_name("candidate", arm, candidates))
    if baseline is not None and baseline not in plain:
        raise SettingsError(unknown_name("baseline", baseline, plain))
    if not 0 <= point < len(summary.points):
        raise SettingsError(f"no point {point}; the measurement has {len(summary.points)}")
    against = baseline or (STOCK if STOCK in plain else TARGET)
    fastest = {best.workload: best.arm for best in best_drafts(summary) if best.point == point}
    chosen: dict[str, ArmComparison] = {}
    for workload in summary.workloads:
        name = arm or fastest.get(workload, summary.candidate)
        found = summary.of(name, point=point).get(workload)
        if found is not None:
            chosen[workload] = found
    if not chosen:
        run = visible(summary.run)
        raise SettingsError(f"{run}: nothing was measured that could be advised on")
    proofs = {each.arm: proof_of(each.arm) for each in chosen.values()}
    return Routes(
        run=summary.run,
        created=summary.created,
        policy=policy,
        proof=min(proofs.values(), key=_trust),
        picked_among=1 if arm else len(candidates),
        routes={
            workload: route(
                summary,
                comparison,
                proof=proofs[comparison.arm],
                policy=policy,
                before=previous.routes.get(workload) if previous else None,
                against=against,
                price_per_hour=price_per_hour,
            )
            for workload, comparison in chosen.items()
        },
    )


def route(
    summary: BenchSummary,
    comparison: ArmComparison,
    *,
    proof: Proof,
    policy: Policy,
    before: Route | None,
    against: str,
    price_per_hour: float | None,
) -> Route:
    """What to do for one workload; a hold keeps what was enabled for this very decoder only."""
    costs = comparison.costs.get(against, Costs())
    over = comparison.speedup_over.get(against)
    speedup = over.geometric_mean if over else None
    load = summary.points[comparison.point].arrivals
    limits = summary.objectives if load else None
    name = load.name if load else None
    alike: set[tuple[str | None, str]] = {(name, each) for each in ("batch", "context", "gamma")}
    alike |= {(None, load.swept)} if load else set()
    figures = Figures(
        speedup=speedup,
        acceptance=comparison.speculation.draft_acceptance_rate,
        p99_ratio=comparison.p99_over.get(against, Estimate()),
        break_even=costs.break_even,
        drafted_per_step=costs.drafted_per_step,
        goodput_ratio=comparison.goodput_over.get(against, Estimate()) if limits else None,
        samples="runs" if load else "prompts",
    )
    decided = decide(figures, policy=policy, proof=proof)
    facts = summary.facts_of(comparison.arm, point=comparison.point)
    advised = Route(
        workload=comparison.workload,
        decision=decided.decision,
        enabled=decided.decision == "enable",
        arm=comparison.arm,
        pair=next(arm.pair for arm in summary.arms if arm.name == comparison.arm),
        num_speculative_tokens=facts.num_speculative_tokens if facts else 0,
        drafter=facts.drafter if facts else None,
        method=facts.method if facts else None,
        baseline=against,
        reasons=decided.reasons,
        prompts=comparison.prompts,
        more_prompts=decided.more_prompts,
        acceptance=figures.acceptance,
        acceptance_needed=max(policy.enable_at, costs.break_even or 0.0),
        speedup=speedup or Estimate(),
        p99_ratio=figures.p99_ratio,
        load=under_load(load, limits) if load else None,
        goodput_ratio=figures.goodput_ratio or Estimate(),
        costs=costs,
        cost=_cost(summary, comparison, against=against, price_per_hour=price_per_hour),
        crossovers={
            sweep.swept: sweep.crossover
            for sweep in sweeps_of(summary)
            if (sweep.arm, sweep.workload) == (comparison.arm, comparison.workload)
            and (sweep.load, sweep.swept) in alike
            and sweep.crossover is not None
        },
    )
    return _held(advised, before) if decided.decision == "hold" else advised


def under_load(load: Arrivals, limits: Objectives | None) -> str:
    """``poisson:8, runs of 40, good is TTFT 300 ms``."""
    return f"{load.name}, good is {limits.name}" if limits else load.name


def price_of_tokens(*, tokens_per_second: float | None, price_per_hour: float) -> float | None:
    """Price of a million tokens, with the machine to itself."""
    if not tokens_per_second:
        return None
    return ratio(price_per_hour * TOKENS_PRICED, of=tokens_per_second * SECONDS_AN_HOUR)


def _cost(
    summary: BenchSummary, comparison: ArmComparison, *, against: str, price_per_hour: float | None
) -> Cost | None:
    if price_per_hour is None or comparison.speedup is None:
        return None
    speeds = {
        each.arm: each.tokens_per_second
        for each in summary.arm_summaries
        if (each.point, each.workload) == (comparison.point, comparison.workload)
    }
    plain, ours = (
        price_of_tokens(tokens_per_second=speeds.get(name), price_per_hour=price_per_hour)
        for name in (against, comparison.arm)
    )
    return Cost(plain=plain, speculative=ours)


def _held(advised: Route, before: Route | None) -> Route:
    """The state there was, if it was this decoder's: another's proof and gain are not its own."""
    if before is None or not before.enabled:
        return advised
    if before.decoder == advised.decoder:
        return structs.replace(advised, enabled=True)
    other = (
        f"off: what was enabled is another decoder, {before.arm} on {before.pair}, "
        f"{before.num_speculative_tokens} tokens by "
        f"{before.method or before.drafter or 'an unknown drafter'}"
    )
    return structs.replace(advised, reasons=(*advised.reasons, other))


def _trust(proof: Proof) -> int:
    return ("fail", "none", "inconclusive", "pass").index(proof.state)
