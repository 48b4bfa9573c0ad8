"""What is asked of whom, in which order and company."""

from __future__ import annotations

import hashlib

import msgspec

from equivcheck.capture.plan import Plan, make_plan, shuffle, warm_up
from equivcheck.core.cases import Case, Sampling, Suite
from equivcheck.core.settings import EngineSetup, Settings
from equivcheck.records.records import CANDIDATE, CONTROL, REPEAT, SHUFFLED, TARGET
from equivcheck.records.sample_keys import derive_seed
from tests.unit.make import suite_of

SETTINGS = Settings(setup=EngineSetup(batch_size=3), probe_every=4)


def make_suite(workload: str, count: int) -> Suite:
    """Every third case is sampled; the fifth has a seed of its own and is the shortest."""
    cases = tuple(
        Case(
            id=f"c{index}",
            prompt="x" * (index + 1),
            sampling=Sampling(temperature=0.7) if index % 3 == 2 else Sampling(),
            seed=99 if index == 5 else None,
            max_new_tokens=3 if index == 5 else 9,
            stop=("\n",),
        )
        for index in range(count)
    )
    return suite_of(cases, workload=workload)


def encode(case: Case) -> list[int]:
    return [len(case.prompt or "")]


def plan_of(settings: Settings = SETTINGS) -> Plan:
    return make_plan(settings, [make_suite("code", 9), make_suite("chat", 7)], encode=encode)


def test_every_case_is_asked_as_its_suite_says() -> None:
    plan = plan_of()
    assert len(plan.asked) == 16
    sixth = plan.asked[5]
    assert (sixth.workload, sixth.path, sixth.line) == ("code", "suites/code.jsonl", 7)
    assert sixth.request.key == "code/c5"
    assert sixth.request.prompt_ids == (6,)
    assert sixth.request.stop == ("\n",)
    assert sixth.request.seed == 99
    assert plan.asked[0].request.seed == derive_seed(0, "code/c0")


def test_target_and_candidate_get_all_and_control_what_is_greedy() -> None:
    planned = plan_of().planned
    every = tuple(each.request.key for each in plan_of().asked)
    assert planned[TARGET] == planned[CANDIDATE] == every
    assert planned[CONTROL] == tuple(key for key in every if int(key[-1]) % 3 != 2)


def test_every_fourth_case_of_each_suite_is_asked_again() -> None:
    planned = plan_of().planned
    assert planned[REPEAT] == ("code/c0", "code/c4", "code/c8", "chat/c0", "chat/c4")
    assert planned[SHUFFLED] == planned[REPEAT]


def test_without_a_control_engine_there_is_no_such_arm() -> None:
    assert CONTROL not in plan_of(msgspec.structs.replace(SETTINGS, control=None)).planned


def test_probes_share_their_chunks_with_probes_only() -> None:
    plan = plan_of()
    keys = [[request.key for request in chunk] for chunk in plan.probes]
    assert keys == [["code/c0", "code/c4", "code/c8"], ["chat/c0", "chat/c4"]]
    others = [request.key for chunk in plan.others for request in chunk]
    assert len(others) == 11
    assert not set(others) & set(plan.planned[REPEAT])
    assert all(len(chunk) <= 3 for chunk in plan.chunks)


def test_seeds_follow_from_run_and_key_alone() -> None:
    expected = int.from_bytes(hashlib.sha256(b"7\ncode/c0").digest()[:4], "little")
    assert derive_seed(7, "code/c0") == expected
    assert len({derive_seed(run, key) for run in (0, 1) for key in ("a/b", "a/c")}) == 4


def test_shuffling_changes_order_and_company_but_loses_nothing() -> None:
    plan = plan_of()
    wanted = set(plan.planned[SHUFFLED])
    (chunk,) = shuffle(plan, wanted=wanted, seed=0, company=4)
    mixed = [request.key for request in chunk]
    assert len(mixed) == len(set(mixed)) == 9
    assert wanted < set(mixed)
    assert [key for key in mixed if key in wanted] != list(plan.planned[SHUFFLED])
    assert shuffle(plan, wanted=wanted, seed=0, company=4) == (chunk,)
    (fewer,) = shuffle(plan, wanted={"chat/c0"}, seed=0, company=99)
    assert len(fewer) == 12


def test_the_shortest_request_warms_up() -> None:
    assert [request.key for request in warm_up(plan_of())] == ["code/c5"]
