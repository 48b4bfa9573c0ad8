"""The company of a stored case as a suite: in the order of asking, with its seeds."""

from __future__ import annotations

import msgspec
import pytest

from equivcheck.capture.plan import make_plan, shuffle
from equivcheck.core.schedule import waves as waves_of
from equivcheck.core.settings import EngineSetup, Settings
from equivcheck.pipeline.company import (
    cases_of,
    companies,
    in_company,
    in_waves,
    suite_of,
    suite_order,
)
from equivcheck.records.asking_order import company_of
from equivcheck.records.records import CANDIDATE, SHUFFLED, TARGET, Evidence
from tests.unit.make import make_capabilities, make_evidence, make_generation, make_request

SETTINGS = Settings(setup=EngineSetup(batch_size=3), probe_every=4, seed=9)
KEYS = [f"{'code' if index < 5 else 'chat'}/c{index % 5}" for index in range(10)]
PROBES = ("code/c0", "code/c4", "chat/c0", "chat/c4")


def run() -> Evidence:
    answers = [make_generation(key=key) for key in KEYS]
    told = make_capabilities(engine="elsewhere", batch_size=3)
    return make_evidence(
        {TARGET: answers, CANDIDATE: answers, SHUFFLED: answers},
        requests=[make_request(key, seed=at) for at, key in enumerate(KEYS)],
        arms=dict.fromkeys((TARGET, CANDIDATE, SHUFFLED), told),
        settings=SETTINGS,
        planned={TARGET: KEYS, CANDIDATE: KEYS, SHUFFLED: PROBES},
    )


def test_the_own_batch_comes_first_and_then_all_up_to_it() -> None:
    own, upto = companies(run(), "chat/c1", arm=CANDIDATE)
    assert own == ["chat/c1", "chat/c2", "chat/c3"]
    assert upto == [*PROBES, "code/c1", "code/c2", "code/c3", *own]
    assert list(companies(run(), "chat/c9", arm=CANDIDATE)) == []


@pytest.mark.parametrize("count", [1, 2, 7, 16])
def test_a_suite_has_the_order_in_which_an_arm_is_then_asked_it(count: int) -> None:
    settings = in_company(SETTINGS)
    wanted = [
        msgspec.structs.replace(case, id=f"d{at}")
        for at, case in enumerate(cases_of(run(), ["code/c1"] * count, workload="code"))
    ]
    for arm in (CANDIDATE, SHUFFLED):
        cases = suite_order(wanted, settings, arm=arm)
        suite = suite_of(cases, workload="code", path="small.jsonl")
        plan = make_plan(settings, [suite], encode=lambda case: case.token_ids or ())
        asked = [request for chunk in plan.chunks for request in chunk]
        if arm == SHUFFLED:
            every = set(plan.planned[SHUFFLED])
            company = company_of(settings.setup.batch_size)
            (chunk,) = shuffle(plan, wanted=every, seed=settings.seed, company=company)
            asked = list(chunk)
        assert [each.key for each in asked] == [f"code/{case.id}" for case in wanted]


def test_cases_of_other_workloads_get_names_of_their_own_and_keep_their_seeds() -> None:
    cases = cases_of(run(), ["chat/c1", "code/c1"], workload="code")
    assert [(case.id, case.seed) for case in cases] == [("chat.c1", 6), ("c1", 1)]


def test_turns_are_asked_behind_those_before_them_again() -> None:
    evidence = run()
    waves = dict.fromkeys(KEYS, 0) | {"code/c4": 1, "chat/c4": 1}
    for key, wave in waves.items():
        evidence.asked[key] = msgspec.structs.replace(evidence.asked[key], wave=wave)
    keys = ["code/c0", "code/c4", "code/c1", "code/c2", "chat/c4"]
    cases = cases_of(evidence, keys, workload="code")
    assert [case.after for case in cases] == [None, "c0", "c4", "c4", "c2"]
    plan = make_plan(
        in_company(SETTINGS),
        [suite_of(cases, workload="code", path="small.jsonl")],
        encode=lambda case: case.token_ids or (),
    )
    asked = [[each.key for each in chunk] for chunk in plan.chunks]
    assert asked == [["code/c0"], ["code/c4"], ["code/c1", "code/c2"], ["code/chat.c4"]]
    numbers = list(waves_of(cases).values())
    assert [case.after for case in in_waves(cases[:1] + cases[3:], numbers[:1] + numbers[3:])] == [
        None,
        "c0",
        "c2",
    ]
    other = suite_of(cases[::-1], workload="code", path="small.jsonl")
    assert {case.after for case in other.cases} == {None}
