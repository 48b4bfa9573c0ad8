"""What is kept of a run to hold later ones against: small, readable, made to be committed.

Nouns only. Taken from a run by `taking`, kept and compared by `baselines`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from equivcheck.core.findings import Interval, Outcome
from equivcheck.core.generation import Count, Counts

SCHEMA = 1


Measured = Annotated[float, Meta(ge=1e-15, le=1e15)]
"""Seconds, or a ratio of what was measured: outside of this nothing was."""


class CaseFact(Struct, frozen=True, kw_only=True, array_like=True):
    """One case of a run."""

    drafted: Count
    accepted: Count
    outcome: Outcome
    """The worst of what was found about the case."""
    state: str
    """The reason of that finding: ``identical``, ``diverged``, ``stop-rule``."""
    prompt: str | None = None
    """`Request.prompt_digest`; None in baselines from before it was kept."""

    @property
    def counts(self) -> Counts:
        """For the paired change of acceptance."""
        return Counts(drafted=self.drafted, accepted=self.accepted)


class CaseTimes(Struct, frozen=True, kw_only=True, array_like=True):
    """One chunk of prompts of a measurement; one prompt at batch size 1."""

    target: Measured
    """Seconds a token, plain."""
    candidate: Measured
    """Seconds a token, speculative."""

    @property
    def speedup(self) -> float:
        """Above 1 is faster."""
        return self.target / self.candidate


class Ratio(Struct, frozen=True, kw_only=True):
    """A ratio within one run, candidate over target."""

    value: Measured
    interval: Interval | None = None
    """95 %, by prompt."""


class BenchFigures(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a measurement adds: times of the first candidate at the first point."""

    facts: dict[str, str]
    """What has to be equal for its ratios to be comparable."""
    machine: str
    """GPU, or CPU: absolute times are compared on the same only."""
    times: dict[str, dict[str, CaseTimes]]
    """Workload, then the chunk's first prompt."""
    p99_ratio: dict[str, Ratio] = {}
    """By workload: p99 of the effective latency a token; absent where not estimable."""
    memory_overhead: Measured | None = None
    """Peak memory over the target's."""
    diverged: dict[str, tuple[str, ...]] = {}
    """Workload to the first prompts with other tokens than the target's; it has no times."""
    prompts: dict[str, str] = {}
    """Case key to `Request.prompt_digest`; empty in baselines from before it was kept."""
    missing: str | None = None
    """What an unfinished measurement lacks, as half a sentence; None: it is finished."""


class HistoryPoint(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One earlier state of a baseline: an entry of its history."""

    created: str
    """Start of the run; UTC, ISO 8601."""
    run: str
    commit: str | None = None
    counts: dict[str, Counts]
    """By workload, all prompts together."""


class Baseline(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A run as later ones are compared with it."""

    equivcheck_baseline: int
    """The schema."""
    kind: Literal["run", "bench", "aiperf"] = "run"
    """bench: of a measurement alone, whose prompts run to a fixed length; aiperf: of acceptance
    alone, as AIPerf recorded it."""
    name: str
    run: str
    created: str
    """Start of the run; UTC, ISO 8601."""
    verdict: Outcome
    headline: str
    lossless: Outcome | None = None
    """The verdict without the project's limits, which a comparison replaces; None: the same."""
    forced: str | None = None
    """Why a run that did not pass is a baseline nevertheless."""
    facts: dict[str, str]
    """What has to be equal for anything to be comparable; ``suites.NAME`` is a suite's digest."""
    under_test: dict[str, str]
    """What may differ, and is told: candidate, draft, commit."""
    environment: dict[str, str]
    """Where it ran; differences are told."""
    cases: dict[str, CaseFact]
    """By case key, in the order of the suites."""
    unsealed: bool = False
    """Whether the records it was taken of, or its measurement, have no seals."""
    bench: BenchFigures | None = None
    history: tuple[HistoryPoint, ...] = ()
    """Earlier states under this name with equal facts, the oldest first."""

    @property
    def answers(self) -> Outcome:
        """What was found about the answers alone."""
        return self.lossless or self.verdict

    @property
    def run_key(self) -> tuple[str, str]:
        """Tells one run from another."""
        return self.run, self.created

    def counts(self, workload: str) -> dict[str, Counts]:
        """A workload's counts by case key."""
        return {key: c.counts for key, c in self.cases.items() if workload_of(key) == workload}

    @property
    def prompts(self) -> dict[str, str]:
        """Case key to the digest of its prompt, as far as they were kept."""
        kept = {key: case.prompt for key, case in self.cases.items() if case.prompt is not None}
        return kept | (self.bench.prompts if self.bench else {})

    @property
    def workloads(self) -> tuple[str, ...]:
        """In the order of the suites; those that were only measured come last."""
        measured = (*self.bench.times, *self.bench.diverged) if self.bench else ()
        return tuple(dict.fromkeys([*map(workload_of, self.cases), *measured]))


class BaselineRecord(Struct, frozen=True, kw_only=True, tag="baseline", omit_defaults=True):
    """The record of the baseline that a run was to be compared with, so that judging needs no file.

    Of several in one run the last counts.
    """

    name: str
    problem: str | None = None
    """State and what is wrong, e.g. ``missing: ...``; None: `baseline` is there."""
    fix: str | None = None
    """One command that mends the problem."""
    baseline: Baseline | None = None


def workload_of(key: str) -> str:
    """Workload of ``workload/case``."""
    return key.partition("/")[0]


def point_of(baseline: Baseline) -> HistoryPoint:
    """The entry that a baseline leaves in the history of what replaces it."""
    pooled: dict[str, Counts] = {}
    for key, case in baseline.cases.items():
        before = pooled.get(workload_of(key), Counts(drafted=0, accepted=0))
        pooled[workload_of(key)] = Counts(
            drafted=before.drafted + case.drafted, accepted=before.accepted + case.accepted
        )
    return HistoryPoint(
        created=baseline.created,
        run=baseline.run,
        commit=baseline.under_test.get("commit"),
        counts=pooled,
    )
