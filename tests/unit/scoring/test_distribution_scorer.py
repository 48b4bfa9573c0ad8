"""Outputs of real engines on a small random pair, scored by the independent pass."""

from __future__ import annotations

import dataclasses

import msgspec
import numpy as np
import pytest
import torch

from equivcheck.core.cases import Sampling
from equivcheck.core.errors import SettingsError
from equivcheck.core.generation import ROUND_MARK
from equivcheck.core.settings import EngineSetup, Settings
from equivcheck.engines.device import load_setup
from equivcheck.records.score_table import ALTERNATIVES, ScoreTable, Stage, Support, Twin, Violation
from equivcheck.records.score_table_file import concatenate
from equivcheck.scoring import distribution_scorer as scoring
from equivcheck.scoring.distribution_scorer import DistributionScorer
from equivcheck.scoring.reference import Reference
from equivcheck.statistics.battery import Battery, evaluate
from tests.unit.scoring.sampled_requests import Draws, draw, requests

EOS = 0


def scorer(setup: EngineSetup, **options: object) -> DistributionScorer:
    given = {"eos_token_ids": (EOS,), "drafter": "model"} | options
    return DistributionScorer(Settings(setup=setup), **given)  # type: ignore[arg-type]


def judged(table: ScoreTable) -> Battery:
    return evaluate(table, alpha=1e-4, alpha_pass=1e-3, stages=True)


def assert_alike(one: ScoreTable, other: ScoreTable, *, close: float = 0.0) -> None:
    for field in dataclasses.fields(ScoreTable):
        ours, theirs = getattr(one, field.name), getattr(other, field.name)
        if not isinstance(ours, np.ndarray):
            assert ours == theirs, field.name
        elif ours.dtype == np.float32:
            np.testing.assert_allclose(ours, theirs, atol=close, err_msg=field.name)
        else:
            np.testing.assert_array_equal(ours, theirs, err_msg=field.name)


@pytest.fixture(scope="module")
def wide(setup: EngineSetup) -> EngineSetup:
    return msgspec.structs.replace(setup, batch_size=16)


@pytest.fixture(scope="module")
def sound(wide: EngineSetup) -> Draws:
    """About 3000 tokens by the rejection rule."""
    return draw("native:gamma=4,rule=rejection", wide, requests(30))


@pytest.fixture(scope="module")
def table(wide: EngineSetup, sound: Draws) -> ScoreTable:
    return scorer(wide).score(sound)


def test_a_sound_decoder_is_not_refuted(table: ScoreTable, sound: Draws) -> None:
    assert table.rows == sum(len(answer.token_ids) for _, answer in sound) > 2500
    assert (table.support == Support.INSIDE).all()
    assert (table.violation == Violation.NONE).all()
    found = judged(table)
    assert not found.broken
    assert set(found.stages) == {"draft", "accept", "recovered", "bonus"}
    # Each stage was really looked at.
    assert np.bincount(table.stage, minlength=4)[1:].min() > 100
    assert table.draft_distribution == "draft model"


def test_the_trace_is_read_as_the_engine_meant_it(table: ScoreTable, sound: Draws) -> None:
    steps = [step for _, answer in sound for step in answer.steps]
    accepted = sum(min(step.accepted, step.emitted) for step in steps)
    recovered = sum(step.emitted > step.accepted < step.drafted for step in steps)
    counts = np.bincount(table.stage, minlength=4)
    assert counts[Stage.ACCEPTED] == accepted
    assert counts[Stage.RECOVERED] == recovered
    assert table.ends.sum() == len(steps)
    # A draft is accepted about as often as its probability says.
    tried = (table.stage == Stage.ACCEPTED) | (table.stage == Stage.RECOVERED)
    assert table.accept_prob[tried].sum() == pytest.approx(accepted, rel=0.1)


@pytest.mark.parametrize(
    ("fault", "part"), [("accept-all", "accept"), ("bonus-from-slot-before", "bonus")], ids=str
)
def test_a_broken_decoder_is_refuted_and_its_stage_stands_out(
    fault: str, part: str, wide: EngineSetup
) -> None:
    draws = draw(f"native:gamma=2,rule=rejection,fault={fault}", wide, requests(10))
    found = judged(scorer(wide).score(draws))
    assert found.broken
    assert max(found.stages, key=lambda name: found.stages[name].highest) == part


def test_wrong_parameters_put_tokens_outside_the_support(wide: EngineSetup, sound: Draws) -> None:
    narrow = Sampling(temperature=0.8, top_p=0.5)
    wrong = [
        (msgspec.structs.replace(request, sampling=narrow), answer)
        for request, answer in sound[:40]
    ]
    assert (scorer(wide).score(wrong).support == Support.OUTSIDE).sum() > 20


def test_surprisal_is_that_of_the_reference(
    setup: EngineSetup, sound: Draws, table: ScoreTable
) -> None:
    reference = Reference(Settings(setup=setup), eos_token_ids=(EOS,))
    for place in (0, 5, 10):
        request, answer = sound[place]
        assert request.sampling == Sampling(temperature=1.0)
        expected = reference.score(request, answer.token_ids).logprobs
        rows = slice(int(table.starts[place]), int(table.starts[place + 1]))
        np.testing.assert_allclose(-table.surprisal[rows], expected, atol=1e-4)


def test_a_run_scored_in_parts_is_the_run_scored_at_once(
    wide: EngineSetup, sound: Draws, table: ScoreTable
) -> None:
    parts = scorer(wide)
    whole = concatenate([parts.score(sound[:7]), parts.score(sound[7:70]), parts.score(sound[70:])])
    assert_alike(whole, table, close=2e-4)
    assert parts.tokens == table.rows
    assert parts.seconds > 0
    resumed = scorer(wide)
    resumed.recall(sound[:70])
    rest = resumed.score(sound[70:])
    first = int(table.starts[70])
    for name in ("crossing_mass", "crossed", "twin", "twin_prob", "pit_rank"):
        np.testing.assert_allclose(getattr(rest, name), getattr(table, name)[first:], atol=2e-4)
    assert (rest.twin != Twin.NONE).any()
    assert rest.crossed.any()


def test_narrow_windows_and_blocks_give_the_same_scores(
    wide: EngineSetup, sound: Draws, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = sound[:12]
    once = scorer(wide).score(few)
    monkeypatch.setattr(scoring, "WINDOW_ELEMENTS", 304 * 15)
    monkeypatch.setattr(scoring, "CPU_BLOCK", 304 * 4)
    assert_alike(scorer(wide).score(few), once, close=2e-4)


def test_prompt_lookup_is_scored_as_a_point_mass(wide: EngineSetup) -> None:
    asked = [
        msgspec.structs.replace(request, prompt_ids=(30, 31, 32) * 8) for request in requests(8)
    ]
    draws = draw("native:gamma=3,drafter=lookup,rule=rejection", wide, asked)
    found = scorer(wide, drafter="lookup").score(draws)
    assert found.draft_distribution == "prompt lookup"
    tried = (found.stage == Stage.ACCEPTED) | (found.stage == Stage.RECOVERED)
    assert tried.sum() > 50
    assert (found.violation == Violation.NONE).all()
    # All of the draft's mass lies in one bin.
    assert (found.draft_mass[tried].max(axis=1) == 1.0).all()
    assert not judged(found).broken


def test_certain_drafts_are_scored_by_what_the_steps_name(wide: EngineSetup) -> None:
    asked = [
        msgspec.structs.replace(request, prompt_ids=(30, 31, 32) * 8) for request in requests(8)
    ]
    draws = draw("native:gamma=3,drafter=lookup,rule=rejection", wide, asked)
    alone = msgspec.structs.replace(wide, pair=wide.pair.partition("+")[0])
    one_hot = scorer(alone, drafter="one-hot")
    assert len(one_hot.teachers) == 1
    found, copied = one_hot.score(draws), scorer(wide, drafter="lookup").score(draws)
    assert found.draft_distribution == "one-hot"
    assert not judged(found).broken
    tried = (found.stage == Stage.ACCEPTED) | (found.stage == Stage.RECOVERED)
    for name in ("stage", "accept_prob", "violation", "draft_mass", "recovered_mass"):
        np.testing.assert_array_equal(getattr(found, name), getattr(copied, name), err_msg=name)
    np.testing.assert_array_equal(found.distance[tried], copied.distance[tried])
    # Where nothing was drafted there is no q, and nothing leans to it.
    assert not found.distance[~tried].any()


def test_the_rule_does_not_matter_to_what_was_certain(wide: EngineSetup) -> None:
    asked = [
        msgspec.structs.replace(request, prompt_ids=(30, 31, 32) * 8) for request in requests(4)
    ]
    draws = draw("native:gamma=3,drafter=lookup", wide, asked)
    found = scorer(wide, drafter="one-hot", stages=False).score(draws)
    assert (found.stage == Stage.UNKNOWN).all()
    assert (found.distance > 0).sum() > 20
    assert not evaluate(found, alpha=1e-4, alpha_pass=1e-3, stages=False).broken


def test_plain_decoding_has_a_shadow_for_a_drafter(wide: EngineSetup) -> None:
    draws = draw("native:gamma=0", wide, requests(2))
    found = scorer(wide, drafter=None).score(draws)
    assert found.draft_distribution == "shadow draft model"
    assert (found.stage == Stage.UNKNOWN).all()
    assert not found.draft_mass.any()
    assert not judged(found).broken


def test_a_pair_without_a_draft_model(wide: EngineSetup) -> None:
    alone = msgspec.structs.replace(wide, pair=wide.pair.partition("+")[0])
    draws = draw("native:gamma=3,rule=rejection", alone, requests(2))
    assert scorer(alone, drafter=None).draft_distribution == "shadow prompt lookup"
    found = scorer(alone, drafter="lookup").score(draws)
    assert (found.stage != Stage.UNKNOWN).all()
    with pytest.raises(SettingsError, match="has no draft model"):
        scorer(alone)


def test_an_engine_without_the_rule_has_no_stages(wide: EngineSetup) -> None:
    draws = draw("native:gamma=4", wide, requests(1))
    found = scorer(wide, stages=False).score(draws)
    assert (found.stage == Stage.UNKNOWN).all()
    assert found.ends.sum() == sum(len(answer.steps) for _, answer in draws)


def test_half_precision_is_excused_what_it_cannot_help(wide: EngineSetup) -> None:
    half = msgspec.structs.replace(wide, dtype="bfloat16")
    draws = draw("native:gamma=4,rule=rejection", half, requests(8))
    scored = scorer(half)
    assert all(teacher.model.dtype == torch.float32 for teacher in scored.teachers)
    found = scored.score(draws)
    assert (found.violation == Violation.NONE).all()
    assert (found.support != Support.OUTSIDE).all()


def test_what_cannot_be_scored_is_refused(wide: EngineSetup, sound: Draws) -> None:
    request, answer = sound[0]
    greedy = msgspec.structs.replace(request, sampling=Sampling())
    with pytest.raises(ValueError, match="greedy"):
        scorer(wide).score([(greedy, answer)])
    empty = msgspec.structs.replace(request, prompt_ids=())
    with pytest.raises(ValueError, match="prompt"):
        scorer(wide).score([(empty, answer)])


@pytest.mark.parametrize("alien", [304, -1, 2**40])
def test_an_id_outside_the_vocabulary_is_impossible_and_breaks_nothing(
    alien: int, wide: EngineSetup, sound: Draws
) -> None:
    request, answer = sound[0]
    strange = msgspec.structs.replace(answer, token_ids=(*answer.token_ids[:3], alien, 5))
    again = (msgspec.structs.replace(request, key=f"law/c0{ROUND_MARK}99"), answer)
    scored = scorer(wide)
    found = scored.score([(request, strange), again])
    assert found.support[:5].tolist()[:4] == [0, 0, 0, Support.OUTSIDE]
    assert judged(found).broken
    scored.recall([(request, strange)])
    assert scored.score([again]).rows == len(answer.token_ids)


def test_outputs_without_a_token_keep_their_place(wide: EngineSetup, sound: Draws) -> None:
    (one, first), (two, second), (three, third) = sound[:3]
    nothing = msgspec.structs.replace(second, token_ids=(), steps=())
    found = scorer(wide).score([(one, first), (two, nothing), (three, third)])
    assert found.keys == (one.key, two.key, three.key)
    assert found.starts[1] == found.starts[2]
    assert scorer(wide).score([]).rows == 0
    assert found.alternatives == ALTERNATIVES


def test_loading_twice_shares_the_models(wide: EngineSetup) -> None:
    pair = load_setup(wide)
    assert [teacher.model for teacher in scorer(wide).teachers] == [pair.target, pair.draft]
