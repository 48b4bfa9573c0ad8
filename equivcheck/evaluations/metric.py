"""One metric on both arms: right answers counted, tested, and what that says.

The sample is a prompt, never one of its epochs. Only prompts that one arm answers better say
anything, and by chance either arm is that one: McNemar's exact test.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from msgspec import Struct

from equivcheck.checks.paired import Shares, interval_of
from equivcheck.core.findings import Interval, Outcome
from equivcheck.evaluations.answers import GradedAnswer
from equivcheck.evaluations.power import detectable_loss, two_sided
from equivcheck.statistics.ratios import LEVEL

LEAST_PROMPTS = 30
Pair = tuple[GradedAnswer, GradedAnswer]


class Metric(Struct, frozen=True, kw_only=True):
    """One metric of one task on both arms."""

    task: str
    name: str
    prompts: int
    """That both arms have an answer to which this metric grades."""
    left_out: int
    """Prompts without a grade, or without an answer, on either arm."""
    a: float | None
    """Mean over prompts; None without any."""
    b: float | None
    only_a: int
    """Prompts whose texts differ and that A answers better, over their epochs."""
    only_b: int
    interval: Interval | None
    """Interval of the difference b - a, at 95 %."""
    p_value: float
    detectable: float | None
    """The least loss that these prompts show in four of five runs."""
    outcome: Outcome
    why: str


class MetricTerms(NamedTuple):
    """What decides."""

    alpha: float
    margin: float


class _Graded(NamedTuple):
    """A prompt's mean over its epochs on both arms, under one metric."""

    a: float
    b: float
    same_text: bool


def judge(
    task: str, name: str, pairs: Mapping[str, list[Pair]], *, of: int, terms: MetricTerms
) -> Metric:
    """Judgement of the prompts in ``pairs``, out of ``of`` that either arm has."""
    graded = [found for each in pairs.values() if (found := _graded(name, each)) is not None]
    prompts = len(graded)
    # The grade of an equal text is no doing of the decoder's.
    mistaken = sum(each.same_text and each.a != each.b for each in graded)
    only_a = sum(each.a > each.b and not each.same_text for each in graded)
    only_b = sum(each.a < each.b and not each.same_text for each in graded)
    p_value = two_sided(only_a, only_b)
    interval = _interval(graded)
    outcome, why = Outcome.PASS, "the same text everywhere"
    if p_value <= terms.alpha:
        outcome, why = Outcome.FAIL, f"differs: p = {p_value:.2g}, fails at {terms.alpha:.2g}"
    elif of > prompts:
        outcome, why = Outcome.INCONCLUSIVE, f"{of - prompts} without a grade on both arms"
    elif mistaken:
        outcome, why = Outcome.INCONCLUSIVE, f"{mistaken} equal texts are graded differently"
    elif not all(each.same_text for each in graded):
        if interval is None:
            outcome, why = (
                Outcome.INCONCLUSIVE,
                "texts differ, and no interval: too few prompts",
            )
        elif interval.low < -terms.margin:
            outcome, why = Outcome.INCONCLUSIVE, f"a loss over {terms.margin:g} is not excluded"
        else:
            why = f"a loss over {terms.margin:g} is excluded"
    return Metric(
        task=task,
        name=name,
        prompts=prompts,
        left_out=of - prompts,
        a=_mean([each.a for each in graded]),
        b=_mean([each.b for each in graded]),
        only_a=only_a,
        only_b=only_b,
        interval=interval,
        p_value=p_value,
        detectable=detectable_loss(prompts=prompts, differing=only_a + only_b, alpha=terms.alpha),
        outcome=outcome,
        why=why,
    )


def _graded(name: str, epochs: list[Pair]) -> _Graded | None:
    """None where any epoch has no grade on either arm."""
    ours = [answer.scores.get(name) for answer, _ in epochs]
    theirs = [answer.scores.get(name) for _, answer in epochs]
    if None in (*ours, *theirs):
        return None
    same = all(a.text is not None and a.text == b.text for a, b in epochs)
    return _Graded(_mean(ours) or 0.0, _mean(theirs) or 0.0, same)


def _mean(values: Sequence[float | None]) -> float | None:
    numbers = [value for value in values if value is not None]
    return math.fsum(numbers) / len(numbers) if numbers else None


def _interval(graded: Sequence[_Graded]) -> Interval | None:
    """Interval of the difference of means, at 95 %.

    Exact for right and wrong. For shares between, such as means over epochs, by Student's t, which
    is good enough from some thirty prompts on; None for fewer, and for other numbers.
    """
    values = [value for each in graded for value in (each.a, each.b)]
    if not values or not all(0 <= value <= 1 for value in values):
        return None
    if all(value in (0.0, 1.0) for value in values):
        gains, losses = (
            sum(each.a < each.b for each in graded),
            sum(each.a > each.b for each in graded),
        )
        return interval_of(Shares(prompts=len(graded), candidate_only=gains, target_only=losses))
    if len(graded) < LEAST_PROMPTS:
        return None
    from scipy.stats import ttest_rel

    found = ttest_rel([each.b for each in graded], [each.a for each in graded])
    bounds = found.confidence_interval(confidence_level=LEVEL)
    return Interval(low=float(bounds.low), high=float(bounds.high))
