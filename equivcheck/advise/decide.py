"""Enable, disable or hold, by the bounds of the intervals and never by the estimates. Pure.

Enable: the lower bound of the speedup reaches the least speedup, that of the acceptance rate the
larger of policy and break-even, the upper bound of the p99 ratio is within its limit, and the
equivalence is proved; under load with stated limits, the lower bound of the goodput ratio reaches
its least, too. Disable: one of the opposite bounds is on the wrong side of its threshold. Anything
else holds the state there was.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from equivcheck.advise.policy import Decision, Policy, Proof
from equivcheck.core.findings import Interval
from equivcheck.metrics.estimates import Estimate
from equivcheck.metrics.speculation import ratio


class Figures(NamedTuple):
    """What the decision about one workload rests on."""

    speedup: Estimate | None
    """None: withheld, because tokens differ."""
    acceptance: Estimate
    p99_ratio: Estimate
    break_even: float | None
    drafted_per_step: float | None = None
    goodput_ratio: Estimate | None = None
    """None: no limits were stated."""
    samples: str = "prompts"
    """What times were paired by: under load, runs."""


class ThresholdTest(NamedTuple):
    """One threshold, and on which side of it the figure is."""

    yes: bool
    """Proved to be on the good side."""
    no: bool
    """Proved to be on the bad side."""
    reason: str
    short_by: float | None = None
    """How many times wider than it may be the interval is; None: cannot be said."""


class Decided(NamedTuple):
    """A decision and what decided."""

    decision: Decision
    reasons: tuple[str, ...]
    more_prompts: int | None


def decide(figures: Figures, *, policy: Policy, proof: Proof) -> Decided:
    """Decide about one workload."""
    asked = list(questions(figures, policy=policy))
    against = [question.reason for question in asked if question.no]
    if proof.state == "fail":
        return Decided("disable", (f"not equivalent: {proof.why}", *against), None)
    if against:
        return Decided("disable", tuple(against), None)
    missing = [question for question in asked if not question.yes]
    reasons = [question.reason for question in missing]
    if proof.state != "pass":
        reasons.insert(0, f"equivalence is not proved: {proof.why}")
    if figures.speedup is None:
        reasons.insert(0, "the speedup is withheld: tokens differ from the target's here")
    if not reasons:
        return Decided("enable", tuple(question.reason for question in asked), None)
    return Decided("hold", tuple(reasons), more_prompts(figures, missing))


def questions(figures: Figures, *, policy: Policy) -> Iterator[ThresholdTest]:
    """The thresholds, of goodput only where limits were stated."""
    if figures.speedup is not None:
        yield at_least(
            figures.speedup,
            policy.least_speedup,
            name="speedup",
            unit="x",
            samples=figures.samples,
            logarithmic=True,
        )
    if figures.goodput_ratio is not None:
        yield at_least(
            figures.goodput_ratio,
            policy.least_goodput,
            name="goodput ratio",
            samples=figures.samples,
        )
    floor = figures.break_even if figures.break_even is not None else 0.0
    yield at_least(
        figures.acceptance,
        max(policy.enable_at, floor),
        below=max(policy.disable_at, floor),
        name="acceptance",
        note=f" (policy {policy.enable_at:.2f}, {_break_even(figures)})",
    )
    ratio_, limit = figures.p99_ratio, policy.p99_limit
    if ratio_.value is None or ratio_.interval is None:
        yield ThresholdTest(
            False, False, f"p99 ratio not estimable from {ratio_.n} {figures.samples}"
        )
        return
    yield ThresholdTest(
        yes=ratio_.interval.high <= limit,
        no=ratio_.interval.low > limit,
        reason=f"p99 ratio {shown(ratio_)}, at most {limit:.2f}",
    )


def at_least(
    estimate: Estimate,
    needed: float,
    *,
    name: str,
    below: float | None = None,
    unit: str = "",
    note: str = "",
    samples: str = "prompts",
    logarithmic: bool = False,
) -> ThresholdTest:
    """Hold an interval against a threshold; under `below` altogether is on the bad side."""
    wanted = f"at least {needed:.2f}{unit}{note}"
    if estimate.value is None or estimate.interval is None:
        return ThresholdTest(
            False, False, f"{name} has no interval from {estimate.n} {samples}, {wanted} is needed"
        )
    low, high = estimate.interval
    return ThresholdTest(
        yes=low >= needed,
        no=high < (needed if below is None else below),
        reason=f"{name} {shown(estimate, unit=unit)}, {wanted}",
        short_by=_short_by(estimate.value, estimate.interval, needed, logarithmic=logarithmic),
    )


def more_prompts(figures: Figures, missing: list[ThresholdTest]) -> int | None:
    """Prompts in all that would settle what is missing: width falls with the root of their number.

    None where more prompts would not help, or nothing says how many: under load, it is runs.
    """
    if figures.samples != "prompts":
        return None
    factors = [question.short_by for question in missing]
    if not factors or any(factor is None for factor in factors):
        return None
    worst = max(factor for factor in factors if factor is not None)
    prompts = figures.acceptance.n
    return math.ceil(prompts * worst**2) if worst > 1 else None


def shown(estimate: Estimate, *, unit: str = "") -> str:
    """``1.52x [1.40, 1.64]``."""
    if estimate.value is None:
        return "unknown"
    if estimate.interval is None:
        return f"{estimate.value:.2f}{unit}"
    return f"{estimate.value:.2f}{unit} [{estimate.interval.low:.2f}, {estimate.interval.high:.2f}]"


def _short_by(
    value: float, interval: Interval, needed: float, *, logarithmic: bool
) -> float | None:
    """Half the interval's width over the distance that it may have."""
    scale = math.log if logarithmic else float
    room = scale(value) - scale(needed)
    if room <= 0:
        return None
    return ratio(scale(value) - scale(interval.low), of=room)


def _break_even(figures: Figures) -> str:
    """What the policy's threshold was compared with, or why it stands alone."""
    if figures.break_even is not None:
        return f"break-even {figures.break_even:.2f}"
    if figures.drafted_per_step is not None:
        return f"break-even unknown at {figures.drafted_per_step:.2g} drafts a step"
    return "break-even unknown"
