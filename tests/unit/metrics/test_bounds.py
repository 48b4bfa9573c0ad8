"""What a measurement cannot hold is named, since nothing judges its counters later."""

from __future__ import annotations

import math

import msgspec
import pytest

from equivcheck.core.generation import Step
from equivcheck.core.serving import Emission
from equivcheck.metrics.bounds import outside, overcounted
from equivcheck.metrics.load_records import Arrivals, Load, Objectives
from tests.unit.make import make_generation
from tests.unit.metrics.make import make_loaded


@pytest.mark.parametrize(
    ("step", "wrong"),
    [
        (Step(drafted=2, accepted=1, emitted=2), None),
        (Step(drafted=2, accepted=2, emitted=3), None),
        (Step(drafted=2, accepted=3, emitted=3), "steps[0] counts 3 of 2 drafts as accepted"),
        (Step(drafted=2, accepted=-1, emitted=0), "steps[0] counts -1 of 2 drafts as accepted"),
        (
            Step(drafted=9, accepted=4, emitted=5),
            "its steps emitted 5 tokens, and it has 4",
        ),
    ],
    ids=["partly", "all", "one too many", "sentinel", "more than there is"],
)
def test_counters_that_cannot_be_true_are_named(step: Step, wrong: str | None) -> None:
    assert overcounted(make_generation((10, 11, 12, 13), steps=(step,))) == wrong


@pytest.mark.parametrize(
    ("load", "wrong"),
    [
        (Load(at=0.0, asked=0.0, finished=0.5), None),
        (Load(at=0.0, asked=0.0, finished=-0.5), "load: -0.5 seconds, outside 0 to 1e+09"),
        (Load(at=math.nan, asked=0.0, finished=1.0), "load: nan seconds, outside 0 to 1e+09"),
        (
            Load(at=0.0, asked=0.0, finished=1.0, emissions=(Emission(seconds=0.5, tokens=3),)),
            "load: 3 tokens came, and the answer has 30",
        ),
        (
            Load(at=0.0, asked=0.0, finished=0.4, emissions=(Emission(seconds=0.5, tokens=30),)),
            "load: tokens came before earlier ones, or behind the end",
        ),
        (Load(at=0.0, asked=0.0, finished=0.0), "load: it ended as it came"),
        (None, "load: there is one where requests come at times of their own, and only there"),
    ],
    ids=["ends", "before", "never", "fewer", "behind", "at once", "none"],
)
def test_times_that_cannot_be_are_named(load: Load | None, wrong: str | None) -> None:
    bench = make_loaded(runs=1)
    line = msgspec.structs.replace(bench.measured[0], load=load)
    found = outside(line, bench.header)
    assert (found is None) == (wrong is None)
    assert wrong is None or wrong in str(found)


def test_a_number_that_no_float_holds_is_named_by_its_bits() -> None:
    bench = make_loaded(runs=1)
    line = msgspec.structs.replace(bench.probed[0], step_bytes=10**400)
    assert "step_bytes is a number of 1329 bits" in str(outside(line, bench.header))


def test_a_load_that_nobody_can_have_measured_is_refused() -> None:
    header = make_loaded(runs=1).header
    assert outside(header, header) is None
    (point,) = header.settings.points
    many = msgspec.structs.replace(point, arrivals=Arrivals(kind="burst", requests=0))
    settings = msgspec.structs.replace(header.settings, points=(many,))
    found = outside(msgspec.structs.replace(header, settings=settings), header)
    assert found == "settings.points[0].arrivals: 0 requests a run, outside 1 to 1000"
    settings = msgspec.structs.replace(header.settings, objectives=Objectives(ttft=math.inf))
    found = outside(msgspec.structs.replace(header, settings=settings), header)
    assert found == "settings.objectives: ttft within inf seconds, outside 0 to 1e+09"
