"""One figure of two runs, and what its change amounts to. Pure.

A change counts as worse only if its whole interval lies on the bad side and it is at least the
minimum effect; as held only if the interval excludes a loss beyond the margin. Between the two it
is inconclusive: more prompts are needed. So is a figure that the base has and a new measurement
has not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

from msgspec import Struct

from equivcheck.core.findings import Interval, Outcome
from equivcheck.core.generation import Counts
from equivcheck.records.baseline_record import CaseTimes, Ratio
from equivcheck.statistics.ratios import acceptance_change, geometric_mean

State = Literal["same", "noise", "better", "worse", "inconclusive", "not comparable", "absent"]

OUTCOMES: Mapping[State, Outcome] = {
    "worse": Outcome.FAIL,
    "inconclusive": Outcome.INCONCLUSIVE,
}
"""All others pass: they hold, or there is nothing to hold."""


class Terms(Struct, frozen=True, kw_only=True):
    """From where on a change counts, and what loss has to be excluded."""

    effect: float = 0.01
    """Least change of an acceptance rate that counts, as a difference."""
    margin: float = 0.05
    """Loss of acceptance that the interval has to exclude."""
    time_effect: float = 0.03
    """Least relative change of a ratio of times, or of memory, that counts."""
    time_margin: float = 0.10
    """Relative loss of speed that the interval has to exclude."""


class Cell(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A figure of both runs. ``change`` is a difference of rates, or a ratio of others less 1."""

    state: State
    base: float | None = None
    new: float | None = None
    change: float | None = None
    interval: Interval | None = None
    """95 %, of `change`."""
    prompts: int = 0

    @property
    def outcome(self) -> Outcome:
        """What the cell means for the comparison."""
        return OUTCOMES.get(self.state, Outcome.PASS)

    @property
    def lost(self) -> bool:
        """Whether the base has the figure and the new run has not."""
        return self.base is not None and self.new is None


ABSENT = Cell(state="absent")


def acceptance_cell(*, base: Mapping[str, Counts], new: Mapping[str, Counts], terms: Terms) -> Cell:
    """Change of the acceptance rate, paired by prompt."""
    paired = [key for key in base if key in new]
    change = acceptance_change(base=base, new=new)
    if change.base is None:
        return ABSENT
    if all(base[key] == new[key] for key in paired):
        # Not a token was drafted or accepted otherwise: nothing is left to estimate.
        state: State = "same"
    else:
        state = judged(change.difference, change.interval, effect=terms.effect, margin=terms.margin)
    return Cell(
        state=state,
        base=change.base,
        new=change.new,
        change=change.difference,
        interval=change.interval,
        prompts=change.prompts,
    )


def speedup_cell(
    base: Mapping[str, CaseTimes], new: Mapping[str, CaseTimes], *, terms: Terms
) -> Cell:
    """Change of the geometric mean speedup, paired by prompt: Student's t on log ratios."""
    keys = [key for key in base if key in new]
    was = geometric_mean([each.speedup for each in base.values()])
    if was is not None and not keys:
        return Cell(state="inconclusive", base=was.value)
    return _times_cell(
        [base[key].speedup for key in keys], [new[key].speedup for key in keys], terms=terms
    )


def rate_cell(base: Mapping[str, CaseTimes], new: Mapping[str, CaseTimes], *, terms: Terms) -> Cell:
    """Change of the candidate's own tokens a second: of one machine only."""
    keys = [key for key in base if key in new]
    return _times_cell(
        [1 / base[key].candidate for key in keys],
        [1 / new[key].candidate for key in keys],
        terms=terms,
    )


def p99_cell(base: Ratio | None, new: Ratio | None, *, terms: Terms) -> Cell:
    """Change of the p99 ratio, from both runs' intervals on the log scale; below 0 is better."""
    if base is None:
        return ABSENT
    if new is None:
        return Cell(state="inconclusive", base=base.value)
    change = math.log(new.value / base.value)
    if base.interval is None or new.interval is None:
        return Cell(state="absent", base=base.value, new=new.value, change=math.expm1(change))
    half = math.hypot(_log_half(base.interval), _log_half(new.interval))
    logs = Interval(-change - half, -change + half)
    state = _state(-change, logs, terms=terms)
    shown = Interval(math.expm1(-logs.high), math.expm1(-logs.low))
    return Cell(
        state=state, base=base.value, new=new.value, change=math.expm1(change), interval=shown
    )


def memory_cell(base: float | None, new: float | None, *, terms: Terms) -> Cell:
    """Change of the memory overhead; a single figure, so a change beyond the effect counts."""
    if base is None:
        return ABSENT
    if new is None:
        return Cell(state="inconclusive", base=base)
    change = new / base - 1
    state: State = "same"
    if abs(change) >= terms.time_effect:
        state = "worse" if change > 0 else "better"
    return Cell(state=state, base=base, new=new, change=change)


def judged(
    change: float | None, interval: Interval | None, *, effect: float, margin: float
) -> State:
    """What a change amounts to where more is better."""
    if change is None or interval is None:
        return "inconclusive"
    if interval.high < 0 and change <= -effect:
        return "worse"
    if interval.low < -margin:
        return "inconclusive"
    if interval.low > 0 and change >= effect:
        return "better"
    return "same" if change == 0 == interval.low == interval.high else "noise"


def _times_cell(base: Sequence[float], new: Sequence[float], *, terms: Terms) -> Cell:
    if not base:
        return ABSENT
    ratio = geometric_mean([b / a for a, b in zip(base, new, strict=True)])
    assert ratio is not None
    change = math.log(ratio.value)
    logs = None
    if ratio.interval is not None:
        logs = Interval(math.log(ratio.interval.low), math.log(ratio.interval.high))
    means = [math.exp(math.fsum(map(math.log, each)) / len(each)) for each in (base, new)]
    return Cell(
        state=_state(change, logs, terms=terms),
        base=means[0],
        new=means[1],
        change=ratio.value - 1,
        interval=ratio.interval and Interval(ratio.interval.low - 1, ratio.interval.high - 1),
        prompts=len(base),
    )


def _state(change: float, interval: Interval | None, *, terms: Terms) -> State:
    """State of a log ratio that is better above 0."""
    return judged(
        change,
        interval,
        effect=math.log1p(terms.time_effect),
        margin=math.log1p(terms.time_margin),
    )


def _log_half(interval: Interval) -> float:
    return math.log(interval.high / interval.low) / 2
