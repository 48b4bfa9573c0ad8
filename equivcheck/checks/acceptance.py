"""Gate: drafts are accepted as often as the project's limits ask, by workload.

A limit fails only where the whole interval lies beyond it and holds only where the interval lies
within; prompts are the sample. No limit, nothing said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from equivcheck.baselines.limits import misspelt_limits
from equivcheck.checks.baseline import usable_baseline
from equivcheck.checks.subjects import command, plural
from equivcheck.core.findings import Finding, Interval, Outcome, Reason
from equivcheck.core.generation import Counts
from equivcheck.core.settings import WorkloadLimits
from equivcheck.records.baseline_record import Baseline
from equivcheck.records.records import CANDIDATE, Evidence
from equivcheck.statistics.ratios import acceptance_change, ratio_interval


def check(evidence: Evidence) -> list[Finding]:
    """One finding a limit, of the workloads that were run."""
    return list(_findings(evidence, evidence.header.settings.workload))


def counts_by_workload(evidence: Evidence) -> dict[str, dict[str, Counts]]:
    """The candidate's counts by case key, for each workload that it answered."""
    found: dict[str, dict[str, Counts]] = {}
    captured = evidence.captured.get(CANDIDATE, {})
    for key, asked in evidence.asked.items():
        if key in captured:
            counts = captured[key].generation.drafts_counted
            found.setdefault(asked.workload, {})[key] = counts
    return found


def _findings(evidence: Evidence, limits: Mapping[str, WorkloadLimits]) -> Iterator[Finding]:
    answered = counts_by_workload(evidence)
    for workload, limit in limits.items():
        counts = answered.get(workload, {})
        if counts and limit.min_acceptance is not None:
            yield _least(workload, counts, least=limit.min_acceptance, evidence=evidence)
        if counts and limit.max_acceptance_drop is not None:
            yield _drop(workload, counts, most=limit.max_acceptance_drop, evidence=evidence)
    yield from misspelt_limits(limits, answered, check="acceptance")


def _least(
    workload: str, counts: Mapping[str, Counts], *, least: float, evidence: Evidence
) -> Finding:
    drafting = [each for each in counts.values() if each.drafted]
    drafted = sum(each.drafted for each in drafting)
    if not drafted:
        return _idle(workload, least)
    rate = sum(each.accepted for each in drafting) / drafted
    interval = ratio_interval(
        accepted=[each.accepted for each in drafting], drafted=[each.drafted for each in drafting]
    )
    outcome = Outcome.INCONCLUSIVE
    if interval is not None and interval.high < least:
        outcome = Outcome.FAIL
    elif interval is not None and interval.low >= least:
        outcome = Outcome.PASS
    words = {
        Outcome.PASS: f"at least {least:g} is asked for",
        Outcome.FAIL: f"at least {least:g} is asked for",
        Outcome.INCONCLUSIVE: f"too few prompts to tell it from the limit, {least:g}",
    }
    return Finding(
        check="acceptance",
        subject=workload,
        outcome=outcome,
        reason=_REASONS[outcome] or Reason.ACCEPTANCE_LOW,
        headline=f"acceptance {rate:.3f}{_words(interval)} on {plural(len(drafting), 'prompt')}: "
        f"{words[outcome]}",
        repeat=None if outcome is Outcome.PASS else command("report", evidence.header.run),
        estimate=rate,
        interval=interval,
        limit=least,
        n=len(drafting),
    )


def _drop(
    workload: str, counts: Mapping[str, Counts], *, most: float, evidence: Evidence
) -> Finding:
    baseline, doubt = usable_baseline(evidence)
    if baseline is None:
        assert doubt is not None
        return Finding(
            check="acceptance",
            subject=workload,
            outcome=Outcome.INCONCLUSIVE,
            reason=doubt.reason,
            headline=f"a drop of {most:g} is allowed, and cannot be judged: {doubt.headline}",
            repeat=doubt.repeat,
            limit=-most,
        )
    before = baseline.counts(workload)
    change = acceptance_change(base=before, new=counts)
    difference, interval = change.difference, change.interval
    if difference is None:
        return _idle(workload, -most)
    same = all(before.get(key) == count for key, count in counts.items())
    outcome = Outcome.INCONCLUSIVE
    if interval is not None and interval.high < -most:
        outcome = Outcome.FAIL
    elif same or (interval is not None and interval.low >= -most):
        outcome = Outcome.PASS
    told = (
        f"acceptance {change.base:.3f} → {change.new:.3f}, {difference:+.3f}"
        f"{_words(interval, signed=True)} on {plural(change.prompts, 'prompt')}"
    )
    if change.prompts < len(counts):
        told += f" of {len(counts)}"
    words = f"a drop of {most:g} is allowed"
    if outcome is Outcome.INCONCLUSIVE:
        words = f"too few prompts to exclude a drop of more than {most:g}"
    return Finding(
        check="acceptance",
        subject=workload,
        outcome=outcome,
        reason=_REASONS[outcome] or Reason.ACCEPTANCE_DROPPED,
        headline=f"{told}: {words}",
        details=_worst_prompts(baseline, counts) if outcome is Outcome.FAIL else (),
        repeat=None
        if outcome is Outcome.PASS
        else command("compare", baseline.name, evidence.header.run),
        estimate=difference,
        interval=interval,
        limit=-most,
        n=change.prompts,
    )


_REASONS = {
    Outcome.PASS: Reason.HELD,
    Outcome.INCONCLUSIVE: Reason.UNDERPOWERED,
    Outcome.FAIL: None,
}
_MOST_PROMPTS = 5


def _worst_prompts(baseline: Baseline, counts: Mapping[str, Counts]) -> tuple[str, ...]:
    """The prompts that lost the most accepted drafts for what was drafted."""
    lost = []
    for key, now in counts.items():
        then = baseline.cases.get(key)
        if then is not None and then.drafted and now.drafted:
            was, is_now = then.accepted / then.drafted, now.accepted / now.drafted
            lost.append((is_now - was, key, was, is_now))
    return tuple(
        f"{key}: {was:.2f} → {is_now:.2f}"
        for change, key, was, is_now in sorted(lost)[:_MOST_PROMPTS]
        if change < 0
    )


def _idle(workload: str, limit: float) -> Finding:
    return Finding(
        check="acceptance",
        subject=workload,
        outcome=Outcome.INCONCLUSIVE,
        reason=Reason.NOT_ENGAGED,
        headline="nothing was drafted on both sides, so there is no acceptance to hold to a limit",
        limit=limit,
    )


def _words(interval: Interval | None, *, signed: bool = False) -> str:
    """`` [0.48, 0.61]``."""
    if interval is None:
        return ""
    low, high = (f"{each:+.3f}" if signed else f"{each:.3f}" for each in interval)
    return f" [{low}, {high}]"
