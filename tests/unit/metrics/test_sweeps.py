from __future__ import annotations

import math

import msgspec
import pytest

from equivcheck.metrics.estimates import Estimate
from equivcheck.metrics.records import Bench, Point
from equivcheck.metrics.summarise import summarise
from equivcheck.metrics.sweeps import SweepRow, best_drafts, crossover, pays, sweeps_of
from tests.unit.metrics.make import CANDIDATE, make_bench


def rows(*speedups: tuple[int, float | None]) -> list[SweepRow]:
    return [
        SweepRow(value=value, speedup=Estimate(value=speedup), pays="unclear")
        for value, speedup in speedups
    ]


def test_the_crossover_lies_between_its_neighbours() -> None:
    found = crossover(rows((1, 2.0), (4, 1.2), (8, 0.9), (16, 0.5)))
    assert found is not None
    assert 4 < found < 8
    even = crossover(rows((1, 2.0), (4, 0.5)))
    assert even == pytest.approx(2.0)


def test_no_crossover_where_the_speedup_stays_on_one_side() -> None:
    assert crossover(rows((1, 2.0), (4, 1.2))) is None
    assert crossover(rows((1, 0.9), (4, 0.8))) is None
    assert crossover(rows((1, 0.9), (4, 1.2))) is None
    assert crossover(rows((1, 2.0), (4, None))) is None
    assert crossover([]) is None


def test_the_last_fall_counts() -> None:
    found = crossover(rows((1, 1.1), (2, 0.9), (4, 1.1), (8, 0.9)))
    assert found is not None
    assert 4 < found < 8


def test_whether_it_pays_is_read_from_the_interval() -> None:
    from equivcheck.core.findings import Interval

    assert pays(Estimate(value=1.2, interval=Interval(1.1, 1.3))) == "pays"
    assert pays(Estimate(value=1.2, interval=Interval(0.9, 1.5))) == "unclear"
    assert pays(Estimate(value=0.8, interval=Interval(0.7, 0.9))) == "costs"
    assert pays(Estimate(value=3.0)) == "unclear"


def slower(bench: Bench, *, point: int, arm: str, factor: float) -> Bench:
    return msgspec.structs.replace(
        bench,
        measured=tuple(
            msgspec.structs.replace(each, seconds=factor * each.seconds)
            if (each.point, each.arm) == (point, arm)
            else each
            for each in bench.measured
        ),
    )


def test_a_batch_sweep_is_found_in_a_measurement() -> None:
    points = [Point(batch_size=batch, context=1024) for batch in (1, 4)]
    bench = slower(make_bench(points=points), point=1, arm=CANDIDATE, factor=4.0)
    sweeps = {sweep.workload: sweep for sweep in sweeps_of(summarise(bench))}
    assert set(sweeps) == {"chat", "code", "overall"}
    assert [row.value for row in sweeps["code"].rows] == [1, 4]
    assert [row.pays for row in sweeps["code"].rows] == ["pays", "costs"]
    # From 2.0 to 0.5, so half way between 1 and 4 on a log scale.
    assert sweeps["code"].crossover == pytest.approx(math.sqrt(4))


def test_a_batch_sweep_with_refilled_rows_says_so_and_holds_a_single_row_too() -> None:
    points = [Point(batch_size=1, context=1024), Point(batch_size=4, context=1024, refills=3)]
    (sweep, *_) = sweeps_of(summarise(make_bench(points=points)))
    assert sweep.held == "rows refilled 3 times, context 1024"
    assert [row.value for row in sweep.rows] == [1, 4]


def test_a_sweep_of_contexts_says_what_its_batch_is() -> None:
    points = [Point(batch_size=4, context=context, refills=1) for context in (512, 1024)]
    (sweep, *_) = sweeps_of(summarise(make_bench(points=points)))
    assert (sweep.swept, sweep.held) == ("context", "batch 4 refilled once")


def test_one_setting_is_no_sweep() -> None:
    assert sweeps_of(summarise(make_bench())) == ()


def test_the_best_draft_by_workload() -> None:
    best = {each.workload: each for each in best_drafts(summarise(make_bench()))}
    assert best["code"].arm == CANDIDATE
    assert best["code"].pays == "pays"
    assert best["code"].tied == ()
