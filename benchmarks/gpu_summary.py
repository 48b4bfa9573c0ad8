"""The questions of `benchmarks.gpu` and what its records answer. The page is `gpu_page`.

Reads files and computes nothing that `equivcheck.metrics` does not; what has no record is said to
be not measured.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.gpu_answers import NOT_MEASURED, Row, records_of, ways_to_launch
from benchmarks.gpu_bits import identity
from equivcheck.bench.arms import WORST
from equivcheck.cli.figure_words import milliseconds, number, times
from equivcheck.core.errors import RecordsError
from equivcheck.metrics.costs import Costs
from equivcheck.metrics.estimates import Estimate
from equivcheck.metrics.records import STOCK, TARGET
from equivcheck.metrics.records_file import read_bench
from equivcheck.metrics.summarise import summarise
from equivcheck.metrics.summary import OVERALL, ArmComparison, BenchSummary
from equivcheck.metrics.sweeps import best_drafts, sweeps_of

LEAST_RATIO = 0.97
"""Of plain decoding's speed: what a useless draft may cost with adaptive gamma."""
ADAPTIVE = f"{WORST}:gamma=4,adaptive=true"
FIXED = f"{WORST}:gamma=4,adaptive=false"


class Library(NamedTuple):
    """A way of the transformers library to decode."""

    words: str
    stage: str
    """That measures it: apart where a device may lack what it needs."""
    arm: str
    plain: bool


LIBRARIES = (
    Library("transformers eager", "library", "transformers:mode=plain,scores=false", True),
    Library(
        "transformers compiled",
        "compiled",
        "transformers:mode=plain,scores=false,compiled=true",
        True,
    ),
    Library("transformers assisted", "library", "transformers:mode=assisted,scores=false", False),
    Library("own plain, torch's kernels only", "library", "native:gamma=0,kernels=library", True),
)


def answers(folder: Path) -> Iterator[Row]:
    """Every question that the stages are there to answer."""
    yield Row("copy bandwidth of the device", bandwidth(folder))
    yield from identity(folder / "identity.jsonl")
    speed = measured(folder, "speed")
    copies = fastest_copies(folder)
    yield from of_speed(speed, copies=copies)
    yield Row("a step by ways to launch kernels", ways_to_launch(folder / "ahead.jsonl"))
    yield from of_worst(measured(folder, "worst"))
    yield from of_libraries(folder, copies=copies)
    yield Row("best gamma", best(measured(folder, "gamma")))
    yield Row("best way to draft", best(measured(folder, "drafts")))
    yield Row("batch size at which it stops paying", crossover(measured(folder, "batch")))
    close = measured(folder, "close")
    yield Row("with a draft close to the target", overall(close))
    yield Row("the same, predicted against measured", predicted(close))
    yield Row("the same, best way to draft", best(close))
    yield Row("with the 1b draft", overall(measured(folder, "draft-1b")))
    for path in sorted(folder.glob("bench-ladder-*.jsonl")):
        name = path.stem.removeprefix("bench-")
        yield Row(name.removeprefix("ladder-"), overall(measured(folder, name)))


def of_speed(speed: BenchSummary | None, *, copies: float | None) -> Iterator[Row]:
    """The native arms at the large pair."""
    main = speed.main.get(OVERALL) if speed else None
    yield Row("over padded plain decoding", over(main, TARGET))
    yield Row("over stock one-token decoding", over(main, STOCK))
    yield Row("predicted against measured", predicted(speed))
    for arm in (TARGET, STOCK):
        yield Row(f"bandwidth floor reached, {arm}", floor(speed, arm, copies=copies))
    for arm in [TARGET, STOCK, *([speed.candidate] if speed else [])]:
        yield Row(f"step p50 and p99, ms, {arm}", steps(speed, arm))
    facts = speed.facts_of(speed.candidate) if speed else None
    promise = NOT_MEASURED if facts is None else facts.identity or "none holds"
    yield Row("identity contract, with the arithmetic it is by", promise)
    overhead = facts.memory_overhead if facts else None
    yield Row(
        "peak memory over plain decoding's",
        NOT_MEASURED if overhead is None else f"{overhead:.3f} times",
    )
    graphs = (
        "; ".join(f"{each.arm}: {cost}" for each in speed.facts for cost in each.costs)
        if (speed)
        else ""
    )
    yield Row("cost of capture", graphs or NOT_MEASURED)


def predicted(summary: BenchSummary | None) -> str:
    """What the costs of a step predict for all workloads, and how near the measured comes."""
    main = summary.main.get(OVERALL) if summary else None
    costs = main.costs.get(TARGET, Costs()) if main else Costs()
    if costs.predicted_speedup is None:
        return NOT_MEASURED
    parts = f"c {number(costs.c, digits=3)} and v {number(costs.v, digits=3)}"
    whole = f"steps of {number(costs.step_cost, digits=3)} plain ones"
    return (
        f"predicted {costs.predicted_speedup:.2f}x from {whole if costs.c is None else parts}; "
        f"measured over predicted {number(costs.measured_over_predicted)}"
    )


def of_worst(summary: BenchSummary | None) -> Iterator[Row]:
    """What a draft costs that is never right."""
    for arm, words in ((FIXED, "gamma fixed"), (ADAPTIVE, "gamma adaptive")):
        worst = summary.of(arm).get(OVERALL) if summary else None
        told = over(worst, TARGET)
        ratio = worst.speedup.geometric_mean if worst and worst.speedup else Estimate()
        if arm == ADAPTIVE and ratio.value is not None:
            met = "met" if ratio.value >= LEAST_RATIO else "missed"
            told += f"; goal of at least {LEAST_RATIO}x {met}"
        yield Row(f"a draft that is never right, {words}", told)


def of_libraries(folder: Path, *, copies: float | None) -> Iterator[Row]:
    """The library's arms beside the native one."""
    for library in LIBRARIES:
        summary = measured(folder, library.stage)
        main = summary.main.get(OVERALL) if summary else None
        told = over(main, library.arm) + other_tokens(summary, library.arm)
        yield Row(f"over {library.words}", told)
        if library.plain:
            told = floor(summary, library.arm, copies=copies)
            yield Row(f"bandwidth floor reached, {library.words}", told)


def measured(folder: Path, stage: str) -> BenchSummary | None:
    """The summary of a stage that runs ``equivcheck bench``; None without usable records."""
    try:
        bench = read_bench(folder / f"bench-{stage}.jsonl")
    except RecordsError:
        return None
    return summarise(bench) if bench.measured else None


def over(comparison: ArmComparison | None, arm: str) -> str:
    """A speedup over another arm."""
    if comparison is None:
        return NOT_MEASURED
    if not comparison.holds:
        differing = comparison.prompts - comparison.identical
        return f"withheld: other tokens on {differing} of {comparison.prompts} prompts"
    found = comparison.speedup_over.get(arm)
    return times(found.geometric_mean) if found else NOT_MEASURED


def other_tokens(summary: BenchSummary | None, arm: str) -> str:
    """What to add where an arm has not answered as the target did, which costs it no speedup."""
    found = summary.of(arm).get(OVERALL) if summary else None
    if found is None or found.holds:
        return ""
    return f"; its tokens are the target's on {found.identical} of {found.prompts} prompts"


def best(summary: BenchSummary | None) -> str:
    """The fastest of several drafts."""
    found = [each for each in best_drafts(summary) if each.workload == OVERALL] if summary else []
    told = (
        f"{each.arm}: {times(each.speedup)} over padded plain"
        + (f", not told apart from {', '.join(each.tied)}" if each.tied else "")
        for each in found
    )
    return "; ".join(told) or NOT_MEASURED


def overall(summary: BenchSummary | None) -> str:
    """A pair's speedup over padded plain decoding and over stock decoding."""
    main = summary.main.get(OVERALL) if summary else None
    if main is None:
        return NOT_MEASURED
    return f"{over(main, TARGET)} over padded plain, {over(main, STOCK)} over one-token plain"


def floor(summary: BenchSummary | None, arm: str, *, copies: float | None) -> str:
    """How near an arm's plain steps come to what the fastest copies allow, bytes a second.

    Without `copies`, to what the copies of the benchmark itself allow, which are fewer.
    """
    for each in summary.arm_summaries if summary else ():
        if (each.arm, each.workload, each.point) != (arm, OVERALL, 0) or not each.floor:
            continue
        found = each.floor
        seconds = found.bytes_per_step / copies if copies else found.seconds
        reached = None if found.fraction is None else found.fraction * seconds / found.seconds
        return (
            f"{number(reached)} of the floor of {1e3 * seconds:.3f} ms for "
            f"{found.bytes_per_step / 1e9:.2f} GB"
        )
    return NOT_MEASURED


def steps(summary: BenchSummary | None, arm: str) -> str:
    """Quantiles of an arm's steps; a p99 of too few has no upper end."""
    for each in summary.arm_summaries if summary else ():
        found = each.latency.get("step_latency")
        if (each.arm, each.workload, each.point) == (arm, OVERALL, 0) and found:
            tail = milliseconds(found[-1])
            if found[-1].high is None and found[-1].value is not None:
                tail = f"{1e3 * found[-1].value:.2f} (not estimable)"
            return f"{milliseconds(found[0])} and {tail}, {found[0].n:,} steps"
    return NOT_MEASURED


def crossover(summary: BenchSummary | None) -> str:
    """Where the speedup falls through 1 along the batch sizes."""
    sweep = next(
        (
            each
            for each in (sweeps_of(summary) if summary else ())
            if (each.swept, each.workload) == ("batch", OVERALL)
        ),
        None,
    )
    if sweep is None:
        return NOT_MEASURED
    rows = ", ".join(f"{row.value}: {times(row.speedup)}" for row in sweep.rows)
    where = "nowhere" if sweep.crossover is None else f"about {sweep.crossover:.1f}"
    return f"{where} ({rows})"


def fastest_copies(folder: Path) -> float | None:
    """Bytes a second, read and written, at the best buffer size."""
    best = best_copies(folder)
    return None if best is None else float(best["bytes_per_second"])


def best_copies(folder: Path) -> dict[str, Any] | None:
    """The record of the fastest buffer size."""
    records = records_of(folder / "bandwidth.jsonl")
    return max(records, key=lambda record: float(record["bytes_per_second"]), default=None)


def bandwidth(folder: Path) -> str:
    """The fastest buffer size."""
    best = best_copies(folder)
    if best is None:
        return NOT_MEASURED
    return (
        f"{best['bytes_per_second'] / 1e9:,.1f} GB/s read and written, buffers of "
        f"{best['buffer_bytes'] / 2**20:,.0f} MiB ({best['clock']})"
    )
