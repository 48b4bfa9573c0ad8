"""Tokens of real engines, replayed: sound ones come as they must, others are told apart."""

from __future__ import annotations

import dataclasses
import functools
import math
import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from equivcheck.core.cases import Sampling
from equivcheck.core.engine import PHILOX_STREAM, Rule
from equivcheck.core.generation import ROUND_MARK, Generation
from equivcheck.core.settings import EngineSetup, Settings
from equivcheck.engines.registry import load_engine
from equivcheck.records.replays import Came, RestsOn
from equivcheck.records.score_table import ScoreTable
from equivcheck.scoring.distribution_scorer import DistributionScorer
from equivcheck.scoring.replay import can_be_replayed
from equivcheck.statistics.replayed import ReplayCounts, replayed
from tests.unit.make import make_capabilities
from tests.unit.scoring.sampled_requests import SAMPLINGS, Draws, draw, requests

HOT = (*SAMPLINGS[:2], Sampling(temperature=1.3), *SAMPLINGS[2:])
COUPLED = "native:gamma=4"
HUGE = (2.0**14, 2.0**20, 2.0**30)
REJECTION = "native:gamma=4,rule=rejection"


@functools.cache
def drawn(spec: str, setup: EngineSetup, rounds: int = 8) -> Draws:
    asked = requests(rounds, samplings=HOT)
    return draw(spec, msgspec.structs.replace(setup, batch_size=16), asked)


def scored(
    draws: Draws, setup: EngineSetup, *, rule: Rule = "rejection", drafter: str | None = "model"
) -> ScoreTable:
    scorer = DistributionScorer(
        Settings(setup=setup),
        eos_token_ids=(0,),
        drafter=drafter,  # type: ignore[arg-type]
        rule=rule,
        replays=True,
    )
    return scorer.score(draws)


def without(answer: Generation, name: str) -> Generation:
    steps = tuple(msgspec.structs.replace(step, **{name: None}) for step in answer.steps)
    return msgspec.structs.replace(answer, steps=steps)


def nearly_alike(pair: str, folder: Path, *, spread: float) -> str:
    """The target beside a draft of nearly its weights."""
    target = Path(pair.split("+")[0])
    draft = folder / "draft"
    shutil.copytree(target, draft)
    random = torch.Generator().manual_seed(1)
    weights = {
        name: values + spread * values.std() * torch.randn(values.shape, generator=random)
        if values.ndim > 1
        else values
        for name, values in load_file(target / "model.safetensors").items()
    }
    save_file(weights, draft / "model.safetensors", metadata={"format": "pt"})
    return f"{target}+{draft}"


def judged(table: ScoreTable, *, void: bool = False) -> ReplayCounts:
    found = replayed(table, void=void)
    assert found is not None
    return found


@pytest.mark.parametrize(
    "spec",
    [
        REJECTION,
        "native:gamma=1,rule=rejection",
        "native:gamma=7,rule=rejection,adaptive=true",
        "native:gamma=4,rule=rejection,width=16",
    ],
)
def test_every_token_of_a_sound_decoder_comes_as_it_must(spec: str, setup: EngineSetup) -> None:
    table = scored(drawn(spec, setup), setup)
    found = judged(table)
    assert found.replayed == found.tokens == table.rows > 700
    assert (found.wrong, found.flipped) == (0, 0)
    assert found.about_q > 100


def test_arithmetic_near_the_scorer_s_is_found_fine(setup: EngineSetup) -> None:
    """The compiled kernels are nearer to fp64, but round apart from the scorer's library."""
    found = judged(scored(drawn(f"{REJECTION},kernels=library", setup), setup))
    assert (found.wrong, found.flipped, found.finely) == (0, 0, True)
    assert found.ties < found.tokens / 100


def test_plain_and_coupled_tokens_rest_on_p_alone(setup: EngineSetup) -> None:
    for spec, rule in (
        ("native:gamma=0,rule=rejection", "rejection"),
        (COUPLED, "coupled"),
    ):
        found = judged(scored(drawn(spec, setup), setup, rule=rule))  # type: ignore[arg-type]
        assert (found.replayed, found.wrong, found.about_q) == (found.tokens, 0, 0)


def biased(spec: str, rule: Rule, setup: EngineSetup) -> ReplayCounts:
    """Draws in which a few tokens share a bias far beyond all logits."""
    engine = load_engine(spec, msgspec.structs.replace(setup, batch_size=16))
    asked = [
        msgspec.structs.replace(
            request,
            key=f"law/b{place}{ROUND_MARK}0",
            sampling=Sampling(temperature=1.0, logit_bias=dict.fromkeys(range(7, 20, 4), bias)),
        )
        for place, (request, bias) in enumerate(
            zip(requests(5, samplings=HOT), HUGE * 10, strict=True)
        )
    ]
    answers = {answer.key: answer for answer in engine.generate(asked)}
    engine.close()
    draws = [(request, answers[request.key]) for request in asked]
    return judged(scored(draws, setup, rule=rule))


def test_tokens_of_huge_biases_come_as_they_must(
    setup: EngineSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    for spec, rule in ((REJECTION, "rejection"), (COUPLED, "coupled")):
        found = biased(spec, rule, setup)  # type: ignore[arg-type]
        assert found.replayed > 600
        assert (found.wrong, found.flipped) == (0, 0)
    # Beside a sum of 2^30 nothing is left of noise that is added to it.
    monkeypatch.setattr("equivcheck.decoding.transforms.STEEP", math.inf)
    assert biased(COUPLED, "coupled", setup).wrong > 50


def test_copied_drafts_have_a_known_q(setup: EngineSetup) -> None:
    draws = drawn("native:gamma=4,rule=rejection,drafter=lookup", setup)
    found = judged(scored(draws, setup, drafter="lookup"))
    assert (found.replayed, found.wrong, found.left_out) == (found.tokens, 0, {})
    assert found.about_q > 100
    assert not found.finely


def test_of_drafters_in_turn_all_is_replayed_or_left_out(setup: EngineSetup) -> None:
    draws = drawn("native:gamma=4,rule=rejection,drafter=mixed", setup)
    found = judged(scored(draws, setup, drafter=None))
    assert found.wrong == 0
    assert found.replayed > 50
    assert sum(found.left_out.values()) == found.tokens - found.replayed


@pytest.mark.parametrize(
    ("fault", "tokens"),
    [
        ("acceptance-power", 1500),
        ("lenience", 1500),
        ("leak-5", 1500),
        ("recovers-from-target", 1500),
        ("recovery-shares-noise", 1500),
        ("stream-shared-rejection", 1500),
        ("temperature-2", 1500),
    ],
)
def test_a_fault_shows_in_a_few_tokens(fault: str, tokens: int, setup: EngineSetup) -> None:
    found = judged(scored(drawn(f"{REJECTION},fault={fault}", setup, 12), setup))
    assert found.wrong > 0
    assert found.first is not None
    assert found.first.row < tokens


@functools.cache
def rounded_residual(setup: EngineSetup) -> Draws:
    return drawn(f"{REJECTION},fault=residual-bfloat16", setup, 8)


def test_a_residual_in_half_precision_shows_by_its_weights(setup: EngineSetup) -> None:
    found = judged(scored(rounded_residual(setup), setup))
    assert found.coins_wrong == 0
    assert found.weights_wrong > 100
    assert found.first is not None
    assert found.first.row < 20


def test_untold_weights_are_not_judged(setup: EngineSetup) -> None:
    """The tokens are nearly all the same, so that hardly anything is left to see."""
    silent = [
        (request, without(answer, "residual_log_weight"))
        for request, answer in rounded_residual(setup)
    ]
    found = judged(scored(silent, setup))
    assert (found.weights_wrong, found.coins_wrong) == (0, 0)
    assert found.tokens_wrong < 5
    assert found.replayed == found.tokens


def test_a_draft_like_its_target_leaves_little_and_is_not_accused(
    setup: EngineSetup, tmp_path: Path
) -> None:
    """What is left of p beyond q is then mostly rounding."""
    alike = msgspec.structs.replace(setup, pair=nearly_alike(setup.pair, tmp_path, spread=0.02))
    found = judged(scored(drawn(REJECTION, alike), alike))
    assert found.about_q > 100
    assert (found.wrong, found.flipped) == (0, 0)


@pytest.mark.parametrize("fault", ["draft-position-late", "draft-layer-missing"])
def test_a_worse_drafter_is_not_accused(fault: str, setup: EngineSetup) -> None:
    """It uses the distribution that it drafts from, and tells it; the scorer's is another one."""
    found = judged(scored(drawn(f"{REJECTION},fault={fault}", setup), setup))
    assert (found.wrong, found.about_q) == (0, 0)
    assert found.replayed > 30
    assert "they rest on q, and the drafter's is another one" in found.left_out


def test_without_a_word_about_q_what_rests_on_it_is_left_out(setup: EngineSetup) -> None:
    silent = [
        (
            request,
            without(answer, "draft_logprobs"),
        )
        for request, answer in drawn(f"{REJECTION},fault=lenience", setup, 12)
    ]
    table = scored(silent, setup)
    found = judged(table)
    assert table.replays is not None
    assert set(np.unique(table.replays.rests_on)) == {RestsOn.P, RestsOn.UNTOLD_Q}
    assert (found.wrong, found.about_q) == (0, 0)


def test_a_q_that_a_moved_cut_explains_leaves_out_one_token(setup: EngineSetup) -> None:
    """The engine's nucleus may hold one token more, and all of q is then a little lower."""
    draws = [pair for pair in drawn(REJECTION, setup) if pair[0].sampling.top_p == 0.9]
    whole = judged(scored(draws, setup))
    request, answer = draws[0]
    at = next(i for i, step in enumerate(answer.steps) if step.draft_logprobs)

    def moved(nats: float) -> Draws:
        told = answer.steps[at].draft_logprobs
        assert told is not None
        step = msgspec.structs.replace(answer.steps[at], draft_logprobs=(told[0] - nats, *told[1:]))
        steps = (*answer.steps[:at], step, *answer.steps[at + 1 :])
        return [(request, msgspec.structs.replace(answer, steps=steps)), *draws[1:]]

    near = judged(scored(moved(0.0015), setup))
    assert (near.wrong, near.about_q) == (0, whole.about_q - 1)
    far = judged(scored(moved(0.5), setup))
    assert (far.wrong, far.about_q) == (0, 0)


def test_drafts_that_contradict_q_void_what_rests_on_it(setup: EngineSetup) -> None:
    """Unless there is enough of the engine's own word for q."""
    table = scored(drawn(f"{REJECTION},fault=lenience", setup, 12), setup)
    assert judged(table, void=True).wrong == judged(table).wrong > 0
    assert table.replays is not None
    coarse = dataclasses.replace(table.replays, off=np.ones_like(table.replays.off))
    found = judged(dataclasses.replace(table, replays=coarse), void=True)
    assert (found.wrong, found.about_q) == (0, 0)
    assert found.replayed > 50


def test_tokens_that_no_step_accounts_for_are_left_out(setup: EngineSetup) -> None:
    request, answer = drawn(REJECTION, setup)[0]
    blank = msgspec.structs.replace(answer, steps=())
    table = scored([(request, blank)], setup)
    found = judged(table)
    assert table.replays is not None
    assert (table.replays.came == Came.NOT_REPLAYED).all()
    assert found.left_out == {"no step says which draw of the rule they came from": found.tokens}


def test_only_a_known_stream_is_replayed() -> None:
    def told(rule: Rule, stream: str | None) -> bool:
        return can_be_replayed(make_capabilities(rule=rule, random_stream=stream))

    for rule in ("rejection", "one-hot", "block", "agreement"):
        assert told(rule, PHILOX_STREAM)
    assert not told("unknown", PHILOX_STREAM)
    assert told("coupled", PHILOX_STREAM)
    assert not told("greedy", PHILOX_STREAM)
    assert not told("rejection", "mersenne/1")
    assert not told("rejection", None)
