"""Which cases are drawn, by which engine, in which company and how far ahead."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import pytest

from equivcheck.capture.draws.plan import (
    Ahead,
    DrawPlan,
    draw_ahead,
    drawing_setup,
    plan_draws,
    sampled_spec,
)
from equivcheck.capture.plan import make_plan
from equivcheck.core.cases import Case, Sampling, Suite
from equivcheck.core.engine import UNTOLD, Rule
from equivcheck.core.generation import Prompt
from equivcheck.core.settings import EngineSetup, Settings
from equivcheck.records.records import SAMPLED, SAMPLED_TARGET
from tests.unit.capture.draws.fakes import CASES, COMPANY, PLAN
from tests.unit.make import make_capabilities, make_request, suite_of


def make_suite(workload: str, *, distribution: bool) -> Suite:
    cases = tuple(
        Case(id=f"c{index}", prompt="p", sampling=Sampling(temperature=index % 2))
        for index in range(4)
    )
    return suite_of(cases, workload=workload, distribution=distribution)


DEFAULTS = Settings()
SUITES = (make_suite("code", distribution=False), make_suite("law", distribution=True))


def planned(settings: Settings = DEFAULTS, *, rule: Rule = "coupled") -> DrawPlan:
    plan = make_plan(settings, SUITES, encode=lambda case: [1, 2])
    return plan_draws(settings, SUITES, plan, candidate=make_capabilities(rule=rule))


def test_of_a_coupled_candidate_only_suites_that_ask_for_it_are_drawn() -> None:
    plan = planned()
    assert plan.planned == {SAMPLED: ("law/c1", "law/c3")}
    assert [each.key for each in plan.company] == ["law/c0", "law/c2"]


def test_of_a_candidate_that_rejects_every_sampled_case_is_drawn() -> None:
    plan = planned(rule="rejection")
    assert plan.planned == {SAMPLED: ("code/c1", "code/c3", "law/c1", "law/c3")}
    assert [each.key for each in plan.company] == ["law/c0", "law/c2"]


def test_nothing_is_drawn_where_that_is_off_or_the_candidate_cannot_sample() -> None:
    assert planned(Settings(sampled=None), rule="rejection").planned == {}
    plan = make_plan(Settings(), SUITES, encode=lambda case: [1])
    cannot = make_capabilities(rule="greedy", sampled=False)
    assert plan_draws(Settings(), SUITES, plan, candidate=cannot).planned == {}


def test_weights_judge_no_draws_of_an_engine_that_tells_no_dtype() -> None:
    told = make_capabilities(rule="rejection", dtype=UNTOLD)
    plan = make_plan(DEFAULTS, SUITES, encode=lambda case: [1, 2])
    assert not plan_draws(DEFAULTS, SUITES, plan, candidate=told).cases
    tokens = msgspec.structs.replace(DEFAULTS, law_evidence="tokens")
    assert plan_draws(tokens, SUITES, plan, candidate=told).cases


def test_where_tokens_are_the_evidence_the_target_draws_too() -> None:
    assert set(planned(Settings(law_evidence="tokens")).planned) == {
        SAMPLED,
        SAMPLED_TARGET,
    }


@pytest.mark.parametrize(
    ("settings", "spec"),
    [
        (Settings(), "native:gamma=4,rule=rejection"),
        (Settings(candidate="native"), "native:rule=rejection"),
        (Settings(candidate="native:rule=coupled,fault=x"), "native:rule=rejection,fault=x"),
        (Settings(candidate="native:rule=rejection,gamma=2"), "native:rule=rejection,gamma=2"),
        (Settings(candidate="transformers:mode=lookup"), "transformers:mode=lookup"),
        (Settings(sampled="native:gamma=7"), "native:gamma=7"),
        (Settings(candidate="replay:file=x"), "replay:file=x,arm=sampled"),
        (Settings(candidate="replay:file=x,arm=target"), "replay:file=x,arm=target"),
    ],
)
def test_the_engine_that_draws(settings: Settings, spec: str) -> None:
    assert sampled_spec(settings) == spec


def test_a_round_asks_each_case_once_with_some_company() -> None:
    keys = [request.key for request in PLAN.round(2, seed=1)]
    assert keys == ["law/plain#2", "law/a#2", "law/b#2", "law/c#2", "law/d#2", "law/e#2"]


def test_company_takes_turns_and_never_comes_twice() -> None:
    guests = tuple(make_request(f"law/g{index}") for index in range(3))
    plan = DrawPlan(cases=CASES, company=guests)
    seen = []
    for number in (1, 2, 3):
        keys = [request.key for request in plan.round(number, seed=0)]
        assert len(keys) == len(set(keys)) == 7
        seen += [key.partition("#")[0] for key in keys if "/g" in key]
    assert sorted(seen) == ["law/g0", "law/g0", "law/g1", "law/g1", "law/g2", "law/g2"]
    alone = DrawPlan(cases=CASES, company=()).round(1, seed=0)
    assert len(alone) == 5


def test_the_cache_is_as_long_as_needed_unless_somebody_chose() -> None:
    settings = Settings(sampled_batch=16)
    assert drawing_setup(settings, PLAN) == EngineSetup(batch_size=16, context=128)
    chosen = msgspec.structs.replace(settings, setup=EngineSetup(context=512))
    assert drawing_setup(chosen, PLAN).context == 512
    long = DrawPlan(cases=(make_request("law/x", max_new_tokens=5000),), company=COMPANY)
    assert drawing_setup(settings, long).context == EngineSetup().context


def test_a_turn_is_drawn_behind_the_answers_that_the_target_gave() -> None:
    hot = Sampling(temperature=1.0)
    cases = (
        Case(id="a.1", prompt="p", session="a", max_new_tokens=200),
        Case(id="a.2", prompt="p", session="a", max_new_tokens=8, sampling=hot),
    )
    suite = msgspec.structs.replace(make_suite("s", distribution=False), cases=cases, lines=(2, 3))
    settings = Settings(control=None)
    plan = make_plan(settings, [suite], encode=lambda _: (5,), follow=lambda *_: Prompt((5, 5)))
    told = make_capabilities(rule="rejection")
    draws = plan_draws(settings, [suite], plan, candidate=told)
    assert draws.planned == {SAMPLED: ("s/a.2",)}
    # Two of the prompt, as many as the answer before may have, and its own.
    assert drawing_setup(settings, draws).context == 256
    (drawn,) = draws.with_prompts({"s/a.2": Prompt((5, 7, 5))}).round(1, seed=0)
    assert drawn.prompt_ids == (5, 7, 5)


def ahead(lengths: Mapping[str, float], *, outputs: int, drawn: int, budget: int) -> Ahead:
    return draw_ahead(PLAN, lengths, outputs=outputs, drawn=drawn, budget=budget)


def test_an_eighth_of_the_budget_is_asked_and_never_more_than_is_left() -> None:
    lengths = {case.key: 8.0 for case in CASES}
    assert ahead(lengths, outputs=25, drawn=200, budget=1600) == Ahead(range(6, 11))
    assert ahead(lengths, outputs=185, drawn=1500, budget=1600) == Ahead(range(38, 41))
    assert ahead(lengths, outputs=195, drawn=1599, budget=1600) == Ahead(range(40, 41))
    assert ahead({}, outputs=25, drawn=200, budget=1600) == Ahead(range(6, 10))


def test_the_first_looks_are_early_and_at_doublings() -> None:
    lengths = {case.key: 10.0 for case in CASES}
    outputs, looks = 0, list[int]()
    while not looks or looks[-1] < 1600:
        drawn = looks[-1] if looks else 0
        found = ahead(lengths, outputs=outputs, drawn=drawn, budget=12_800)
        outputs = (found.rounds.stop - 1) * len(CASES) + found.cases
        looks.append(10 * outputs)
    assert looks == [70, 140, 280, 560, 1120, 2750]
    assert outputs % len(CASES) == 0


def test_a_round_that_was_begun_early_is_drawn_to_its_end() -> None:
    assert ahead({}, outputs=7, drawn=70, budget=80) == Ahead(range(2, 3))
    assert ahead({}, outputs=7, drawn=90, budget=80) == Ahead(range(2, 3))
