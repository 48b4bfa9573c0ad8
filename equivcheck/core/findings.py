"""What a check says: `Finding`, with an ordered `Outcome` and a stable `Reason` code."""

from __future__ import annotations

import enum
from typing import NamedTuple

from msgspec import Struct


class Outcome(enum.StrEnum):
    """Three outcomes; the worst wins. Not knowing is not passing."""

    PASS = "pass"
    INCONCLUSIVE = "inconclusive"
    FAIL = "fail"

    @property
    def severity(self) -> int:
        """0 for pass, 1 for inconclusive, 2 for fail."""
        return tuple(Outcome).index(self)


class Reason(enum.StrEnum):
    """Stable machine-readable codes: a dashboard may key on them."""

    IDENTICAL = "identical"
    NUMERICS = "numerics"
    DIVERGED = "diverged"
    NUMERICS_OVER_BUDGET = "numerics-over-budget"
    NO_ARBITRATION = "no-arbitration"
    NOT_COMPARABLE = "not-comparable"
    NOTHING_COMPARED = "nothing-compared"
    NOT_ENGAGED = "not-engaged"
    ENGAGED = "engaged"
    NONDETERMINISTIC = "nondeterministic"
    BATCH_DEPENDENT = "batch-dependent"
    STOP_RULE = "stop-rule"
    SCHEDULE_DEPENDENT = "schedule-dependent"
    LENGTH = "length"
    LOGPROBS = "logprobs"
    COUNTERS = "counters"
    MISSING = "missing"
    LEFT_OUT = "left-out"
    HELD = "held"
    DISTRIBUTION_HELD = "law-held"
    DISTRIBUTION_BROKEN = "law-broken"
    IMPOSSIBLE = "impossible"
    DRAFT_DISTRIBUTION_VOID = "draft-law-void"
    REPLAYED = "replayed"
    REPLAY_DIFFERS = "replay-differs"
    NOT_REPLAYED = "not-replayed"
    NOT_EXCLUDED = "not-excluded"
    UNDERPOWERED = "underpowered"
    NOT_SAMPLED = "not-sampled"
    SCORE_DIFFERS = "score-differs"
    NOT_GRADED = "not-graded"
    ACCEPTANCE_LOW = "acceptance-low"
    ACCEPTANCE_DROPPED = "acceptance-dropped"
    NO_BASELINE = "no-baseline"
    OVER_LIMIT = "over-limit"
    EXERCISED = "exercised"
    NOT_EXERCISED = "not-exercised"
    OTHER_HISTORY = "other-history"
    LOSSY_SETTING = "lossy-setting"
    REPLICA_DIFFERS = "replica-differs"


class Interval(NamedTuple):
    """Two-sided interval, in the unit of the estimate."""

    low: float
    high: float


class Finding(Struct, frozen=True, kw_only=True, tag="finding", omit_defaults=True):
    """One statement about one subject, with what it rests on."""

    check: str
    subject: str
    """A case key (``code/fib``), a workload (``code``) or ``run``."""
    outcome: Outcome
    reason: Reason
    headline: str
    """One line: the verdict first, then how much, and how much was allowed."""
    details: tuple[str, ...] = ()
    """Further lines of evidence, already escaped for a terminal."""
    repeat: str | None = None
    """One shell command that shows it again."""
    estimate: float | None = None
    interval: Interval | None = None
    limit: float | None = None
    n: int = 0
    """How many things (tokens, cases, steps: the headline says which) it rests on."""


def worst(outcomes: list[Outcome]) -> Outcome:
    """The worst outcome; INCONCLUSIVE for none at all, because nothing was shown."""
    return max(outcomes, key=lambda outcome: outcome.severity, default=Outcome.INCONCLUSIVE)
