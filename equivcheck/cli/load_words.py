"""A load in words: throughput, goodput and latencies of every arm. From the summary alone."""

from __future__ import annotations

from collections.abc import Iterator

from equivcheck.cli.figure_words import NOTHING, milliseconds, number, times
from equivcheck.core.escape import visible
from equivcheck.metrics.summary import OVERALL, ArmSummary, BenchSummary
from equivcheck.report.layout import columns

SHOWN = {"ttft": "TTFT", "tpot": "TPOT", "e2e": "E2E", "itl_effective": "a token"}


def load_lines(summary: BenchSummary, *, point: int) -> Iterator[str]:
    """What every arm made of a load over all workloads; nothing where none had any."""
    loaded = [
        each
        for each in summary.arm_summaries
        if (each.point, each.workload) == (point, OVERALL) and each.load is not None
    ]
    if not loaded:
        return
    limits = f"; good is {summary.objectives.name}" if summary.objectives else ""
    yield f"requests that came and were answered a second{limits}"
    yield from columns([_THROUGHPUT, *(_throughput(each) for each in loaded)])
    for compared in summary.comparisons:
        if (compared.point, compared.workload) == (point, OVERALL):
            for name, ratio in compared.goodput_over.items():
                yield f"{visible(compared.arm)}: good requests over {name}'s {times(ratio)}"
    yield ""
    yield "latencies from when a request came, milliseconds; intervals take runs as the sample"
    rows = [
        (word, visible(each.arm), *(milliseconds(q) for q in found), str(found[0].n))
        for name, word in SHOWN.items()
        for each in loaded
        if (found := each.latency.get(name))
    ]
    yield from columns([("", "arm", "p50", "p90", "p99", "n"), *rows])
    for each in loaded:
        if "ttft" not in each.latency:
            yield f"{visible(each.arm)} does not say when its first token came"


_THROUGHPUT = ("arm", "runs", "requests", "offered/s", "answered/s", "tokens/s", "good", "good/s")


def _throughput(each: ArmSummary) -> tuple[str, ...]:
    load = each.load
    assert load is not None
    return (
        visible(each.arm),
        str(load.runs),
        str(load.requests),
        "at once" if load.offered_per_second is None else number(load.offered_per_second),
        number(load.requests_per_second),
        number(each.tokens_per_second, digits=1),
        NOTHING if load.good is None else f"{load.good}/{load.requests}",
        times(load.request_goodput, unit=""),
    )
