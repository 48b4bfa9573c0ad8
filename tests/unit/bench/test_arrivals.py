from __future__ import annotations

from itertools import pairwise

import pytest

from equivcheck.bench.arms import Sweeps, points_of
from equivcheck.bench.arrivals import parse_arrivals, parse_objectives, times_of
from equivcheck.core.errors import SettingsError
from equivcheck.core.settings import EngineSetup
from equivcheck.metrics.load_records import Arrivals, Objectives


def test_loads_are_read() -> None:
    poisson, burst = parse_arrivals(["poisson:2.5", "burst:16"], prompts=40)
    assert poisson == Arrivals(kind="poisson", requests=40, rate=2.5)
    assert burst == Arrivals(kind="burst", requests=16)
    assert (poisson.name, burst.name) == ("poisson:2.5, runs of 40", "burst:16")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["poisson"], r"--arrivals 'poisson': write poisson:RATE, requests a second, or burst:N"),
        (["poisson:fast"], "write poisson:RATE"),
        (["poisson:0"], "0 requests a second, outside 0 to 1e"),
        (["poisson:-1"], "-1 requests a second"),
        (["poisson:nan"], "nan requests a second"),
        (["poisson:inf"], "inf requests a second"),
        (["burst:0"], "0 requests a run, outside 1 to 1000"),
        (["burst:2.5"], "write poisson:RATE"),
        (["burst:1001"], "1001 requests a run"),
        (["steady:4"], "write poisson:RATE"),
        (["burst:4", "burst:4"], "given twice"),
    ],
)
def test_loads_that_cannot_be(given: list[str], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        parse_arrivals(given, prompts=8)


def test_limits_are_read_in_milliseconds() -> None:
    assert parse_objectives(["ttft:300", "tpot:50", "e2el:2000"]) == Objectives(
        ttft=0.3, tpot=0.05, e2e=2.0
    )
    assert parse_objectives([]) is None
    assert Objectives(ttft=0.3, e2e=2.0).name == "TTFT 300 ms, E2E 2000 ms"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["itl:5"], r"--goodput 'itl:5': 'itl' has to be one of ttft, tpot, e2e"),
        (["ttft:5", "ttft:6"], "'ttft' has to be named once"),
        (["e2e:5", "e2el:6"], "'e2el' has to be named once"),
        (["ttft"], "write ttft:MILLISECONDS, above 0"),
        (["ttft:soon"], "write ttft:MILLISECONDS"),
        (["tpot:0"], "write tpot:MILLISECONDS"),
        (["tpot:inf"], "write tpot:MILLISECONDS"),
    ],
)
def test_limits_that_cannot_be(given: list[str], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        parse_objectives(given)


def test_a_run_has_its_own_times_whoever_serves_it() -> None:
    arrivals = Arrivals(kind="poisson", requests=4000, rate=8.0)
    times = times_of(arrivals, run="code/0/0")
    assert times == times_of(arrivals, run="code/0/0")
    assert times != times_of(arrivals, run="code/0/1")
    gaps = [later - before for before, later in pairwise(times)]
    assert times[0] == 0.0
    assert min(gaps) >= 0
    # Exponential gaps: mean and spread are both one over the rate; four standard errors.
    mean = sum(gaps) / len(gaps)
    spread = (sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) ** 0.5
    assert mean == pytest.approx(1 / 8, rel=4 / len(gaps) ** 0.5)
    assert spread == pytest.approx(1 / 8, rel=8 / len(gaps) ** 0.5)


def test_a_burst_comes_at_once() -> None:
    assert times_of(Arrivals(kind="burst", requests=3), run="code/0/0") == (0.0, 0.0, 0.0)


def test_every_load_at_every_batch_size() -> None:
    loads = parse_arrivals(["poisson:2", "burst:16"], prompts=40)
    points = points_of(EngineSetup(), Sweeps(batch=(1, 4)), arrivals=loads)
    assert [(point.batch_size, point.together) for point in points] == [
        (1, 40),
        (1, 16),
        (4, 40),
        (4, 16),
    ]
    assert points[0].name == "batch 1, context 1024, poisson:2, runs of 40"
    with pytest.raises(SettingsError, match="--refills 2: with --arrivals, rows are refilled as"):
        points_of(EngineSetup(), Sweeps(), refills=2, arrivals=loads)
