"""The summary of a measurement: `BenchSummary`, what gates, advice and reports are given.

Plain records, JSON both ways; made by `summarise.summarise`. Importing this loads numpy and scipy.
"""

from __future__ import annotations

from msgspec import Struct

from equivcheck.core.engine import DraftSource
from equivcheck.metrics.costs import Costs
from equivcheck.metrics.estimates import Estimate, Quantile
from equivcheck.metrics.floor import Floor
from equivcheck.metrics.load_records import Objectives
from equivcheck.metrics.records import BenchArm, BenchShard, Memory, Point
from equivcheck.metrics.speculation import Speculation
from equivcheck.metrics.under_load import LoadSummary

OVERALL = "overall"
"""In place of a workload: all of them pooled."""


class Speedup(Struct, frozen=True, kw_only=True):
    """How many times as fast; above 1 is faster. Under load the times are those of requests, from
    when they came to their end, and runs are what is paired."""

    geometric_mean: Estimate
    """Geometric mean of the paired ratios of times."""
    totals: Estimate
    """Ratio of all times together: what throughput gains."""


class ArmSummary(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One arm at one point over one workload."""

    point: int
    arm: str
    workload: str
    prompts: int
    tokens: int
    tokens_per_second: float | None = None
    """Committed tokens over time inside the engine, prompt included."""
    latency: dict[str, tuple[Quantile, ...]] = {}
    """ttft, tpot, e2e, step_latency, itl_effective to p50, p90 and p99; seconds."""
    step_seconds: float | None = None
    """Median of its steps after the first of each answer."""
    mbu: float | None = None
    """Memory bandwidth utilisation of its plain steps."""
    floor: Floor | None = None
    """Floor of its plain steps, by memory bandwidth."""
    load: LoadSummary | None = None
    """Throughput and goodput, where requests came at times of their own."""


class ArmComparison(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One drafting arm against the plain arms at one point over one workload."""

    point: int
    arm: str
    workload: str
    prompts: int
    """Answered by this arm and by the target."""
    identical: int
    """How many of these have the target's token ids, in every repeat."""
    diverged: tuple[str, ...] = ()
    """Keys of the first few others."""
    speculation: Speculation
    speedup: Speedup | None = None
    """Over the target; None: withheld, since tokens differ, or nothing to compare."""
    speedup_over: dict[str, Speedup] = {}
    """Name of every other arm to the speedup over it; empty where `speedup` is withheld."""
    p50_ratio: Estimate = Estimate()
    """Effective latency per token, candidate's over target's: below 1 is faster."""
    p99_ratio: Estimate = Estimate()
    p99_over: dict[str, Estimate] = {}
    """Plain arm (`target`, `stock`) to the same, over that arm's."""
    goodput_over: dict[str, Estimate] = {}
    """Plain arm to requests within the limits, over that arm's, of the same arrivals."""
    costs: dict[str, Costs] = {}
    """Plain arm (`target`, `stock`) to what a step costs in its steps."""

    @property
    def holds(self) -> bool:
        """Whether every prompt has the target's tokens, and there is one."""
        return 0 < self.prompts == self.identical


class Tax(Struct, frozen=True, kw_only=True):
    """What the identity contract costs plain decoding, stock one-token decoding being 1."""

    point: int
    workload: str
    identity_tax: Estimate


class ArmFacts(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an arm is and holds at one point."""

    point: int
    arm: str
    engine: str
    device: str
    dtype: str
    num_speculative_tokens: int
    drafter: DraftSource | None = None
    method: str | None = None
    """As in `Capabilities.method`."""
    identity: str | None = None
    """The identity contract that was found to hold, by its whole name."""
    clock: str
    memory: Memory = Memory()
    memory_overhead: float | None = None
    """Peak memory over the target arm's."""
    costs: tuple[str, ...] = ()
    """What it has cost beside its steps, such as captured graphs; in its own words."""
    alone: bool = False
    """Whether it was measured with no other arm open, before or after them."""


class BenchSummary(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A measurement, summed up."""

    run: str
    created: str
    points: tuple[Point, ...]
    arms: tuple[BenchArm, ...]
    workloads: tuple[str, ...]
    candidate: str
    """The first candidate: what is compared unless another is named."""
    comparisons: tuple[ArmComparison, ...]
    """Every drafting arm, point and workload, `OVERALL` last of the workloads."""
    arm_summaries: tuple[ArmSummary, ...]
    """Every arm, drafting ones too, point and workload."""
    taxes: tuple[Tax, ...] = ()
    facts: tuple[ArmFacts, ...] = ()
    environment: dict[str, str] = {}
    objectives: Objectives | None = None
    """Limits that goodput counts by."""
    copy_bytes_per_second: float | None = None
    measuring_cost: float | None = None
    """Share of the measuring time that was spent outside engines."""
    answers: int = 0
    expected: int = 0
    """Answers that a finished measurement has."""
    unsealed: bool = False
    """Whether a line of its file that was changed would go unseen."""
    shard: BenchShard | None = None
    """Which part of a measurement it is."""

    @property
    def finished(self) -> bool:
        """Whether nothing is missing."""
        return self.answers == self.expected > 0 and self.shard is None

    @property
    def missing(self) -> str | None:
        """What an unfinished measurement lacks, as half a sentence; None: it is finished."""
        if self.finished:
            return None
        if self.shard and self.answers == self.expected:
            return f"shard {self.shard.index} of {self.shard.of}: `equivcheck merge` has the whole"
        return f"unfinished, it has {self.answers} of {self.expected} answers"

    @property
    def main(self) -> dict[str, ArmComparison]:
        """The first candidate at the first point, by workload, `OVERALL` among them."""
        return self.of(self.candidate)

    def of(self, arm: str, *, point: int = 0) -> dict[str, ArmComparison]:
        """One arm's comparisons at a point, by workload."""
        return {
            each.workload: each
            for each in self.comparisons
            if (each.arm, each.point) == (arm, point)
        }

    def facts_of(self, arm: str, *, point: int = 0) -> ArmFacts | None:
        """What an arm is at a point, if it was opened there."""
        return next((each for each in self.facts if (each.arm, each.point) == (arm, point)), None)
