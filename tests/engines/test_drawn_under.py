"""Power and control of draws that are served: a fault that only a schedule shows is refuted.

Asked in batches, each of these faults draws rightly.
"""

from __future__ import annotations

import json
from contextlib import closing

import pytest

from equivcheck.capture.draws.under import Under, draw_under
from equivcheck.capture.plan import make_plan
from equivcheck.core.generation import Generation
from equivcheck.core.load_suites import load_suite
from equivcheck.core.service_schedule import schedule_of
from equivcheck.core.settings import EngineSetup, Settings
from equivcheck.engines.registry import load_engine
from equivcheck.pairs.prompts import encode
from equivcheck.pairs.tokenizer import load_tokenizer
from equivcheck.records.records import SAMPLED
from equivcheck.records.sample_keys import drawn_request, parse_draw
from equivcheck.scoring.distribution_scorer import DistributionScorer
from equivcheck.statistics.battery import Battery, evaluate

SETUP = EngineSetup(pair="tiny", device="cpu", threads=1, batch_size=4, context=96)
SETTINGS = Settings(setup=SETUP)
TEXT = "The king looked out upon the sea, and the sea looked back at him. "
HOT = {"sampling": {"temperature": 1.0}, "max_new_tokens": 12, "ignore_eos": True}
LINES = (
    {"equivcheck": 1, "workload": "p", "serving": {"prefix_tokens": 128}},
    {"id": "gone", "prompt": TEXT, "give_up_after": {"tokens": 3}, **HOT},
    {"id": "leaves", "prompt": TEXT + "Then", "give_up_after": {"tokens": 2}, **HOT},
    {"id": "again", "prompt": TEXT, "give_up_after": {"tokens": 2}, "retry": {"step": 1}, **HOT},
    {"id": "ideas", "prompt": TEXT, "n": 4, "arrives": {"step": 1}, **HOT},
)
ROUNDS = 4


@pytest.fixture(scope="module")
def under(tmp_path_factory: pytest.TempPathFactory) -> Under:
    path = tmp_path_factory.mktemp("suite") / "p.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in LINES))
    suite, tokenizer = load_suite(path), load_tokenizer(SETUP.pair)
    plan = make_plan(SETTINGS, [suite], encode=lambda *given: encode(tokenizer, *given))
    requests = tuple(each.request for each in plan.asked)
    return Under(schedule=schedule_of(suite), requests=requests)


def judged(under: Under, fault: str) -> Battery:
    spec = "native:gamma=3,rule=rejection,lag=1" + (f",fault={fault}" if fault else "")
    cases = sorted(under.drawn(under.requests))
    wanted = frozenset(f"{case}#{number}" for case in cases for number in range(1, ROUNDS + 1))
    with closing(load_engine(spec, SETUP)) as engine:
        found = draw_under(
            engine,
            under,
            range(1, ROUNDS + 1),
            wanted=wanted,
            seed=3,
            arm=SAMPLED,
            pace=lambda case: None,
        )
        eos = engine.pair.eos_token_ids  # type: ignore[attr-defined]
    requests = {each.key: each for each in under.requests}
    outputs = []
    for answer in found.outcomes:
        assert isinstance(answer, Generation)
        case, number = parse_draw(answer.key)
        outputs.append((drawn_request(requests[case], round=number, seed=3), answer))
    scorer = DistributionScorer(
        SETTINGS, eos_token_ids=eos, drafter="model", stages=True, rule="rejection", replays=False
    )
    return evaluate(scorer.score(outputs), alpha=1e-4, alpha_pass=1e-3, stages=True)


@pytest.mark.parametrize("fault", ["served-samples-share-seed", "row-reused-in-flight"])
def test_a_fault_that_only_a_schedule_shows_is_refuted(under: Under, fault: str) -> None:
    found = judged(under, fault)
    assert found.broken
    if fault == "served-samples-share-seed":
        assert max(found.parts, key=lambda name: found.parts[name].highest) == "crossing"


def test_the_sound_server_is_not_accused(under: Under) -> None:
    found = judged(under, "")
    assert found.tokens == ROUNDS * 5 * 12
    assert not found.broken
    assert found.impossible.total == 0
