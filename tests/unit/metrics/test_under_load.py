"""What a measurement under load comes to, from known times."""

from __future__ import annotations

import msgspec
import pytest

from equivcheck.cli.bench_words import lines_of
from equivcheck.compare.from_bench import figures_of
from equivcheck.core.serving import Emission
from equivcheck.metrics.load_records import Arrivals, Load, Objectives
from equivcheck.metrics.records import Point
from equivcheck.metrics.summarise import summarise
from equivcheck.metrics.summary import ArmSummary, BenchSummary
from equivcheck.metrics.sweeps import sweeps_of
from equivcheck.metrics.under_load import ratio_of_good
from tests.unit.metrics.make import CANDIDATE, TOKENS, make_bench, make_loaded

LATER = TOKENS - 1


def load(*emissions: tuple[float, int], finished: float) -> Load:
    came = tuple(Emission(seconds=seconds, tokens=tokens) for seconds, tokens in emissions)
    return Load(at=1.0, asked=0.01, finished=finished, emissions=came)


def arm(summary: BenchSummary, name: str) -> ArmSummary:
    return next(
        each for each in summary.arm_summaries if (each.arm, each.workload) == (name, "code")
    )


def test_latencies_of_one_request_count_from_when_it_came() -> None:
    found = load((0.2, 1), (0.3, 3), (0.5, 2), finished=0.6)
    assert (found.ttft, found.e2e) == (0.2, 0.6)
    assert found.tpot == pytest.approx(0.4 / 5)
    assert load((0.2, 1), finished=0.2).tpot is None
    silent = Load(at=0.0, asked=0.0, finished=1.0)
    assert (silent.ttft, silent.tpot, silent.e2e) == (None, None, 1.0)


@pytest.mark.parametrize(
    ("objectives", "meets"),
    [
        (Objectives(ttft=0.2), True),
        (Objectives(ttft=0.19), False),
        (Objectives(ttft=0.2, tpot=0.079), False),
        (Objectives(tpot=0.081, e2e=0.6), True),
        (Objectives(e2e=0.59), False),
    ],
)
def test_a_request_is_good_that_keeps_to_every_limit(objectives: Objectives, meets: bool) -> None:
    assert load((0.2, 1), (0.3, 3), (0.5, 2), finished=0.6).meets(objectives) is meets


def test_a_limit_on_a_time_that_is_not_told_decides_nothing() -> None:
    silent = Load(at=0.0, asked=0.0, finished=1.0)
    assert silent.meets(Objectives(ttft=9.0)) is None
    assert silent.meets(Objectives(ttft=9.0, e2e=2.0)) is None
    assert silent.meets(Objectives(ttft=9.0, e2e=0.5)) is False


def test_the_speedup_is_that_of_requests_and_runs_are_the_sample() -> None:
    main = summarise(make_loaded()).main["code"]
    assert main.speedup is not None
    over = main.speedup.geometric_mean
    assert over.value == pytest.approx((0.2 + LATER * 0.01) / (0.2 + LATER * 0.006), rel=1e-2)
    assert over.n == 10
    assert over.interval is not None
    assert summarise(make_loaded(runs=1)).main["code"].speedup_over["stock"].totals.n == 1
    # Steps wait for others' prompts here, so nothing is said of their costs.
    assert main.costs["target"].break_even is None


def test_throughput_and_latencies_of_an_arm() -> None:
    found = arm(summarise(make_loaded(runs=1)), "target")
    assert found.load is not None
    assert (found.load.runs, found.load.requests) == (1, 20)
    assert found.load.offered_per_second == pytest.approx(10.0)
    seconds = 1.9 + 0.2 + LATER * 0.01
    assert found.load.requests_per_second == pytest.approx(20 / seconds)
    assert found.tokens_per_second == pytest.approx(20 * TOKENS / seconds)
    shown = {name: [q.value for q in of] for name, of in found.latency.items()}
    assert shown["ttft"] == pytest.approx([0.2] * 3)
    assert shown["tpot"] == pytest.approx([0.01] * 3)
    assert shown["e2e"] == pytest.approx([0.2 + LATER * 0.01] * 3)
    assert found.load.good is None
    # Of so few requests nothing bounds a p99, and of one run nothing at all.
    assert found.latency["e2e"][2].high is None
    assert found.latency["e2e"][0].low is None


def test_goodput_is_of_requests_within_the_stated_limits() -> None:
    # 8 ms a token are too many, 6 ms are not.
    summary = summarise(make_loaded(objectives=Objectives(ttft=0.25, tpot=0.007)))
    ours, stock = arm(summary, CANDIDATE).load, arm(summary, "stock").load
    assert ours is not None
    assert stock is not None
    assert (ours.good, stock.good) == (200, 0)
    assert ours.request_goodput.value == pytest.approx(ours.requests_per_second)
    assert ours.request_goodput.n == 10
    assert stock.request_goodput.value == 0.0
    assert summary.main["code"].goodput_over["stock"].value is None
    lenient = summarise(make_loaded(objectives=Objectives(e2e=9.0))).main["code"]
    assert lenient.goodput_over["stock"].value == 1.0


def test_requests_that_all_kept_to_the_limits_prove_no_more_than_their_number() -> None:
    found = ratio_of_good([20] * 10, [20] * 10)
    assert found.value == 1.0
    assert found.interval is not None
    assert found.interval == pytest.approx((197 / 200, 203 / 200))
    assert ratio_of_good([20] * 7, [20] * 7).interval is None
    none = ratio_of_good([0] * 10, [2.0] * 10)
    assert none.interval == pytest.approx((0.0, 3 / 20))


def test_an_arm_that_tells_only_ends_has_no_first_token() -> None:
    bench = make_loaded(objectives=Objectives(ttft=0.1))
    measured = tuple(
        msgspec.structs.replace(each, load=msgspec.structs.replace(each.load, emissions=()))
        if each.load and each.arm == CANDIDATE
        else each
        for each in bench.measured
    )
    summary = summarise(msgspec.structs.replace(bench, measured=measured))
    found = arm(summary, CANDIDATE)
    assert found.load is not None
    assert set(found.latency) == {"e2e"}
    assert found.load.good is None
    assert summary.main["code"].goodput_over == {}
    assert summary.main["code"].p99_ratio.value is None
    assert f"{CANDIDATE} does not say when its first token came" in lines_of(summary)


def test_the_account_tells_the_load_and_the_limits() -> None:
    summary = summarise(make_loaded(objectives=Objectives(ttft=0.25, tpot=0.007)))
    shown = list(lines_of(summary))
    assert "by the time of requests under poisson:10, runs of 20" in shown[0]
    told = "requests that came and were answered a second; good is TTFT 250 ms, TPOT 7 ms"
    at = shown.index(told)
    assert shown[at + 2].split()[:4] == ["target", "10", "200", "10.00"]
    assert "200/200" in shown[at + 4]
    assert ["E2E", CANDIDATE] in [line.split()[:2] for line in shown]


def test_rates_are_swept_and_each_is_one_row() -> None:
    def point(rate: float) -> Point:
        arrivals = Arrivals(kind="poisson", requests=10, rate=rate)
        return Point(batch_size=4, context=64, arrivals=arrivals)

    points = (point(0.5), point(2.0), point(8.0))
    bench = make_bench(points=points, workloads=("code",))
    (sweep,) = (each for each in sweeps_of(summarise(bench)) if each.workload == "code")
    assert (sweep.swept, sweep.load, sweep.held) == (
        "rate",
        None,
        "batch 4, context 64, runs of 10",
    )
    assert [row.value for row in sweep.rows] == [0.5, 2.0, 8.0]
    shown = list(lines_of(summarise(bench)))
    assert f"code, {CANDIDATE}: speedup by rate, batch 4, context 64, runs of 10" in shown


def test_loads_are_no_one_setting_of_a_sweep() -> None:
    points = [
        Point(batch_size=batch, context=64, arrivals=Arrivals(kind="burst", requests=size))
        for batch in (1, 2)
        for size in (2, 4)
    ]
    sweeps = sweeps_of(summarise(make_bench(points=points, workloads=("code",))))
    assert {(sweep.swept, sweep.load, sweep.held, len(sweep.rows)) for sweep in sweeps} == {
        ("batch", "burst:2", "context 64, burst:2", 2),
        ("batch", "burst:4", "context 64, burst:4", 2),
        ("burst", None, "batch 1, context 64", 2),
        ("burst", None, "batch 2, context 64", 2),
    }


def test_a_baseline_keeps_the_times_of_requests() -> None:
    (times,) = figures_of(make_loaded()).times.values()
    ((_, found),) = times.items()
    assert found.target / found.candidate == pytest.approx(
        (0.2 + LATER * 0.01) / (0.2 + LATER * 0.006), rel=1e-2
    )
