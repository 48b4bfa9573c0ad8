"""Cases that an engine says it refuses are asked of no arm."""

from __future__ import annotations

import pytest

from equivcheck.capture.plan import Plan, make_plan
from equivcheck.capture.served import served
from equivcheck.core.cases import Case, Sampling
from equivcheck.core.errors import SettingsError
from equivcheck.core.settings import EngineSetup, Settings
from equivcheck.records.records import CANDIDATE, CONTROL, REPEAT, SHUFFLED, TARGET
from tests.unit.make import make_capabilities, suite_of

SETTINGS = Settings(setup=EngineSetup(batch_size=2), probe_every=3)
ARMS = {
    TARGET: make_capabilities(engine="native:gamma=0"),
    CANDIDATE: make_capabilities(engine="vllm:gamma=4", refuses=("min_p",)),
}


def plan_of(*refused: int, count: int = 7) -> Plan:
    """Cases ``code/c0`` and on, those refused with min_p; every third is asked again."""
    cases = tuple(
        Case(
            id=f"c{index}",
            prompt="x",
            sampling=Sampling(temperature=1.0, min_p=0.1) if index in refused else Sampling(),
        )
        for index in range(count)
    )
    suite = suite_of(cases)
    return make_plan(SETTINGS, [suite], encode=lambda case: [1])


def keys(*indices: int) -> tuple[str, ...]:
    return tuple(f"code/c{index}" for index in indices)


def test_the_others_are_asked_in_full_chunks() -> None:
    plan = served(plan_of(1, 3), ARMS, batch_size=2)
    assert [each.request.key for each in plan.asked] == [*keys(0, 2, 4, 5, 6)]
    assert [[each.key for each in chunk] for chunk in plan.probes] == [[*keys(0, 6)]]
    assert [[each.key for each in chunk] for chunk in plan.others] == [[*keys(2, 4)], [*keys(5)]]
    every, again = keys(0, 2, 4, 5, 6), keys(0, 6)
    assert plan.planned == {
        TARGET: every,
        CANDIDATE: every,
        CONTROL: every,
        SHUFFLED: again,
        REPEAT: again,
    }
    assert [(each.key, each.engine, each.needs) for each in plan.left_out] == [
        ("code/c1", "vllm", ("min_p",)),
        ("code/c3", "vllm", ("min_p",)),
    ]


def test_where_nothing_is_refused_the_plan_is_the_same() -> None:
    plan = plan_of()
    assert served(plan, ARMS, batch_size=2) is plan


def test_something_is_still_asked_twice() -> None:
    plan = served(plan_of(0, 3, 6), ARMS, batch_size=2)
    assert plan.planned[REPEAT] == keys(1)
    assert [each.key for chunk in plan.others for each in chunk] == [*keys(2, 4, 5)]


def test_a_later_arm_may_refuse_more() -> None:
    plan = served(plan_of(1), ARMS, batch_size=2)
    more = {"sampled": make_capabilities(engine="other", ranges={"temperature": (0.5, 1.0)})}
    assert served(plan, more, batch_size=2) is plan
    more = {"sampled": make_capabilities(engine="other", refuses=("min_p",))}
    assert served(plan_of(1, 2), more | ARMS, batch_size=2).left_out[0].engine == "other"


def test_nothing_is_left() -> None:
    with pytest.raises(SettingsError, match=r"no case is left: each of 2 .* needs min_p, whi"):
        served(plan_of(0, 1, count=2), ARMS, batch_size=2)
