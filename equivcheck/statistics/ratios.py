"""Pooled ratios such as the acceptance rate, and their change, with prompts as the sample.

Tokens of one prompt rise and fall together, so a prompt is one cluster, and two runs are compared
on the prompts that both answered.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from msgspec import Struct

from equivcheck.core.findings import Interval
from equivcheck.core.generation import Counts
from equivcheck.records.baseline_record import Ratio

LEVEL = 0.95
"""Confidence level of every interval that is shown, unless it says another."""
MOST_LOG = 700.0
"""Natural logarithm of nearly the largest float."""


class Change(Struct, frozen=True, kw_only=True):
    """A pooled rate of two runs on the prompts that both answered."""

    prompts: int
    """Answered by both, with drafts in at least one of the two."""
    base: float | None
    """Accepted per drafted token; None: nothing was drafted."""
    new: float | None
    interval: Interval | None
    """95 %, of `difference`; None with fewer than two prompts, or a rate that is undefined."""

    @property
    def difference(self) -> float | None:
        """New rate less base rate."""
        return None if self.base is None or self.new is None else self.new - self.base


def acceptance_change(*, base: Mapping[str, Counts], new: Mapping[str, Counts]) -> Change:
    """Change of the pooled rate, paired by key: keys that only one side has are left out.

    With residuals ``e = (accepted - rate * drafted) / total`` of each run and prompt, the standard
    error of the difference of the two rates is ``sqrt(m / (m - 1) * sum((e_new - e_base)**2))``
    over m prompts, against Student's t with m - 1 degrees of freedom (linearisation; Cochran,
    Sampling Techniques, 3rd ed., section 6.18: two ratios on one sample).
    """
    keys = [key for key in base if key in new and (base[key].drafted or new[key].drafted)]
    before, after = [base[key] for key in keys], [new[key] for key in keys]
    rate, changed = _rate(before), _rate(after)
    interval = None
    if rate is not None and changed is not None and len(keys) >= 2:
        residuals = zip(_residuals(before, rate), _residuals(after, changed), strict=True)
        half = _half_width(sum((e_new - e) ** 2 for e, e_new in residuals), prompts=len(keys))
        low, high = changed - rate - half, changed - rate + half
        interval = Interval(low=max(-1.0, low), high=min(1.0, high))
    return Change(prompts=len(keys), base=rate, new=changed, interval=interval)


def ratio_interval(*, accepted: Sequence[int], drafted: Sequence[int]) -> Interval | None:
    """Interval of the pooled ratio, by the same linearisation; None with fewer than two prompts.

    With residuals ``e = accepted - rate * drafted`` per prompt, the standard error is
    ``sqrt(m / (m - 1) * sum(e**2)) / sum(drafted)`` (Cochran, ratio estimator). Prompts that all
    have one rate tell nothing of how prompts differ: for them it is the interval of so many
    independent drafts (Clopper and Pearson).
    """
    counts = [Counts(drafted=d, accepted=a) for a, d in zip(accepted, drafted, strict=True)]
    rate = _rate(counts)
    if rate is None or len(counts) < 2:
        return None
    hits, total = sum(accepted), sum(drafted)
    if all(each.accepted * total == hits * each.drafted for each in counts):
        return exact_interval(hits, of=total)
    half = _half_width(sum(e**2 for e in _residuals(counts, rate)), prompts=len(counts))
    return Interval(low=max(0.0, rate - half), high=min(1.0, rate + half))


def exact_interval(hits: int, *, of: int, tail: float = (1 - LEVEL) / 2) -> Interval:
    """Interval of a rate of independent trials (Clopper and Pearson, 1934).

    Args:
        hits: Trials that came out so.
        of: All trials, at least one.
        tail: Largest probability that the rate lies beyond either bound.
    """
    # scipy takes longer to import than all of judging; only what has an interval pays for it.
    from scipy.special import betaincinv

    low = betaincinv(hits, of - hits + 1, tail) if hits else 0.0
    high = betaincinv(hits + 1, of - hits, 1 - tail) if hits < of else 1.0
    return Interval(low=float(low), high=float(high))


def geometric_mean(ratios: Sequence[float]) -> Ratio | None:
    """Geometric mean of one ratio a prompt, by Student's t on the logarithms; None without any."""
    if not ratios:
        return None
    logs = [math.log(each) for each in ratios]
    centre = math.fsum(logs) / len(logs)
    if len(logs) < 2:
        return Ratio(value=math.exp(centre))
    spread = math.sqrt(math.fsum((each - centre) ** 2 for each in logs) / (len(logs) - 1))
    half = student_quantile(0.5 + LEVEL / 2, freedom=len(logs) - 1) * spread / math.sqrt(len(logs))
    # An interval that leaves what a float can hold says nothing, and has ends all the same.
    low, high = max(centre - half, -MOST_LOG), min(centre + half, MOST_LOG)
    return Ratio(value=math.exp(centre), interval=Interval(math.exp(low), math.exp(high)))


def student_quantile(probability: float, *, freedom: int) -> float:
    """Quantile of Student's t with ``freedom`` degrees of freedom."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, probability))


def _rate(counts: Sequence[Counts]) -> float | None:
    drafted = sum(each.drafted for each in counts)
    return sum(each.accepted for each in counts) / drafted if drafted else None


def _residuals(counts: Sequence[Counts], rate: float) -> list[float]:
    """What each prompt adds to the linearised rate; they sum to 0."""
    total = sum(each.drafted for each in counts)
    return [(each.accepted - rate * each.drafted) / total for each in counts]


def _half_width(squares: float, *, prompts: int) -> float:
    error = math.sqrt(prompts / (prompts - 1) * squares)
    return student_quantile(0.5 + LEVEL / 2, freedom=prompts - 1) * error
