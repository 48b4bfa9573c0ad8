"""What a measurement under load comes to: latencies, throughput, goodput. Pure.

The run is the sample: requests of one run wait for one another. A run is put to all arms with the
same times of arrival, so that ratios are paired by run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from msgspec import Struct

from equivcheck.core.findings import Interval
from equivcheck.metrics.estimates import BCA_FROM, Estimate, Quantile, quantile_of, ratio_of_totals
from equivcheck.metrics.latency import QUANTILES
from equivcheck.metrics.load_records import Load, Objectives
from equivcheck.metrics.records import Measured

RULE_OF_THREE = 3
"""Requests that may have been otherwise where none was seen to be: 95 %."""
RunKey = tuple[str, int, int]
"""Workload, chunk and repeat."""


class Loaded(NamedTuple):
    """One request of a run."""

    load: Load
    tokens: int


class LoadRun(NamedTuple):
    """One run of one arm."""

    seconds: float
    """From its first arrival to its last answer."""
    requests: tuple[Loaded, ...]

    @property
    def loads(self) -> list[Load]:
        """How its requests fared."""
        return [each.load for each in self.requests]

    @property
    def tokens(self) -> int:
        """Tokens of all its answers."""
        return sum(each.tokens for each in self.requests)

    @property
    def last_arrival(self) -> float:
        """Seconds after its first."""
        return max(load.at for load in self.loads)

    def good(self, objectives: Objectives) -> int | None:
        """Requests that kept to all limits; None: a limit is about a time that is not told."""
        met = [load.meets(objectives) for load in self.loads]
        return None if None in met else met.count(True)


Runs = Mapping[RunKey, LoadRun]


class LoadSummary(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One arm under one load."""

    runs: int
    requests: int
    offered_per_second: float | None
    """Requests that came a second, over all runs; None: they came at once."""
    requests_per_second: float
    """That were answered, from the first arrival of a run to its last answer."""
    good: int | None = None
    """Requests that kept to all limits; None: no limits, or of a time that is not told."""
    request_goodput: Estimate = Estimate()
    """These a second; `n` counts runs."""


def runs_of(measured: Iterable[Measured]) -> Runs:
    """The runs that answers of one arm were given in."""
    grouped: dict[RunKey, list[Measured]] = {}
    for each in measured:
        if each.load is not None:
            grouped.setdefault((each.workload, each.chunk, each.repeat), []).append(each)
    return {
        key: LoadRun(
            max(each.load.at + each.load.finished for each in found if each.load),
            tuple(Loaded(each.load, len(each.generation.token_ids)) for each in found if each.load),
        )
        for key, found in grouped.items()
    }


def load_quantiles(runs: Sequence[LoadRun]) -> dict[str, tuple[Quantile, ...]]:
    """p50, p90 and p99 of each latency, clustered by run; one that is not told is left out."""
    single: dict[str, Callable[[Load], float | None]] = {
        "ttft": lambda load: load.ttft,
        "tpot": lambda load: load.tpot,
        "e2e": lambda load: load.e2e,
    }
    groups = {
        name: [[value for load in run.loads if (value := of(load)) is not None] for run in runs]
        for name, of in single.items()
    }
    groups["step_latency"] = [[gap for gap, _ in _gaps(run)] for run in runs]
    groups["itl_effective"] = [effective_gaps(run) for run in runs]
    return {
        name: tuple(quantile_of(values, p=p) for p in QUANTILES)
        for name, values in groups.items()
        if any(values)
    }


def effective_gaps(run: LoadRun) -> list[float]:
    """One value a token after the first ones: its share of the time since tokens came before."""
    return [gap / tokens for gap, tokens in _gaps(run) for _ in range(tokens)]


def load_summary(runs: Sequence[LoadRun], objectives: Objectives | None) -> LoadSummary | None:
    """One arm's runs; None: there are none."""
    if not runs:
        return None
    requests = sum(len(run.requests) for run in runs)
    seconds = [run.seconds for run in runs]
    coming = sum(run.last_arrival for run in runs)
    good = [run.good(objectives) for run in runs] if objectives else []
    known = [each for each in good if each is not None]
    told = bool(known) and len(known) == len(runs)
    return LoadSummary(
        runs=len(runs),
        requests=requests,
        offered_per_second=(requests - len(runs)) / coming if coming else None,
        requests_per_second=requests / sum(seconds),
        good=sum(known) if told else None,
        request_goodput=ratio_of_good(known, seconds) if told else Estimate(),
    )


def ratio_of_good(good: Sequence[int], below: Sequence[float]) -> Estimate:
    """Good requests over something else, run by run; no interval from fewer than `BCA_FROM` runs.

    Where all runs are alike, a bootstrap has nothing to tell: no interval is narrower than what
    three requests make of it.
    """
    found = ratio_of_totals(numerators=good, denominators=below)
    if found.interval is None or len(good) < BCA_FROM:
        return Estimate(value=found.value, n=found.n)
    least, most = (max(0, sum(good) + by) / sum(below) for by in (-RULE_OF_THREE, RULE_OF_THREE))
    low, high = found.interval
    return Estimate(
        value=found.value, interval=Interval(min(low, least), max(high, most)), n=found.n
    )


def goodput_over(
    ours: Runs, others: Mapping[str, Runs], objectives: Objectives | None
) -> dict[str, Estimate]:
    """Good requests of one arm over those of each other, of the same arrivals, where told."""
    found: dict[str, Estimate] = {}
    if objectives is None:
        return found
    for name, theirs in others.items():
        pairs = [
            (mine, other)
            for key, run in ours.items()
            if key in theirs
            and (mine := run.good(objectives)) is not None
            and (other := theirs[key].good(objectives)) is not None
        ]
        if pairs:
            found[name] = ratio_of_good(*zip(*pairs, strict=True))
    return found


def _gaps(run: LoadRun) -> list[tuple[float, int]]:
    return [
        (later.seconds - before.seconds, later.tokens)
        for load in run.loads
        for before, later in zip(load.emissions, load.emissions[1:], strict=False)
    ]
