"""Draws scored by parts of rows: the same as by weights where told, left out where not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import msgspec
import numpy as np
import pytest
import torch

from equivcheck.core.cases import Sampling
from equivcheck.core.errors import EngineError, SettingsError
from equivcheck.core.generation import ROUND_MARK, Generation, Request
from equivcheck.core.settings import EngineSetup, Settings
from equivcheck.engines.http.scorer import HttpScorer
from equivcheck.engines.registry import load_engine
from equivcheck.records.score_table import ScoreTable, Stage, Support, Violation
from equivcheck.scoring.distribution_scorer import DistributionScorer
from equivcheck.scoring.served import ServerScorer
from equivcheck.scoring.told import UnreportedMass, lift, most_rest
from equivcheck.statistics.battery import Battery, evaluate

from .by_model import ModelRows

Draws = Sequence[tuple[Request, Generation]]
VOCAB = 304
SAMPLINGS = {
    "plain": Sampling(temperature=1.0),
    "hot": Sampling(temperature=1.4),
    "cool": Sampling(temperature=0.7, presence_penalty=0.4, banned_tokens=(9,)),
    "top-k": Sampling(temperature=1.2, top_k=12),
    "top-k-p": Sampling(temperature=0.9, top_k=12, top_p=0.8),
    "min-p": Sampling(temperature=1.0, min_p=0.2),
    "top-p": Sampling(temperature=1.0, top_p=0.4),
    "top-p-cool": Sampling(temperature=0.6, top_p=0.4),
    "repetition": Sampling(temperature=1.0, repetition_penalty=1.3),
}
CUT = ("top-k", "top-k-p", "min-p", "top-p", "top-p-cool")


def drawn(setup: EngineSetup, spec: str, *, rounds: int, only: Sequence[str] = ()) -> Draws:
    asked = [
        Request(
            key=f"law/{name}{ROUND_MARK}{number}",
            prompt_ids=tuple(range(20 + 4 * case, 60)),
            max_new_tokens=24,
            sampling=distribution,
            seed=1000 * case + number,
        )
        for number in range(rounds)
        for case, (name, distribution) in enumerate(SAMPLINGS.items())
        if not only or name in only
    ]
    engine = load_engine(spec, msgspec.structs.replace(setup, batch_size=16))
    answers = {answer.key: answer for answer in engine.generate(asked)}
    engine.close()
    return [(request, answers[request.key]) for request in asked]


def scored(
    setup: EngineSetup, draws: Draws, rows: ModelRows | None = None, **options: object
) -> ScoreTable:
    settings = Settings(setup=setup, shadow="lookup")
    served = None if rows is None else ServerScorer(cast("HttpScorer", rows))
    if served is not None and rows is not None:
        served.logits = rows.logits  # As the comparison with the target finds out.
    given = {"eos_token_ids": (0,), "drafter": None, "served": served} | options
    return DistributionScorer(settings, **given).score(draws)  # type: ignore[arg-type]


def battery(table: ScoreTable, *, stages: bool = False) -> Battery:
    return evaluate(table, alpha=1e-4, alpha_pass=1e-3, stages=stages)


def of_case(table: ScoreTable, name: str) -> np.ndarray:
    rows = np.zeros(table.rows, np.bool_)
    for key, start, end in zip(table.keys, table.starts, table.starts[1:], strict=False):
        rows[start:end] = key.startswith(f"law/{name}{ROUND_MARK}")
    return rows


@pytest.fixture(scope="module")
def sound(setup: EngineSetup) -> Draws:
    return drawn(setup, "native:gamma=0", rounds=6)


@pytest.mark.parametrize("logits", [False, True])
def test_whole_rows_say_what_weights_say(setup: EngineSetup, sound: Draws, logits: bool) -> None:
    by_weights = scored(setup, sound)
    by_url = scored(setup, sound, ModelRows(setup, most=VOCAB, logits=logits))
    told = ~of_case(by_url, "repetition") | logits
    assert (by_url.support[told] == by_weights.support[told]).all()
    assert (by_url.support[~told] == Support.UNKNOWN).all()
    for name in ("surprisal", "entropy", "pit_rank", "log_ratio"):
        ours, theirs = getattr(by_url, name)[told], getattr(by_weights, name)[told]
        np.testing.assert_allclose(ours, theirs, atol=2e-3, err_msg=name)
    # A ratio of 1 at the border of two bins falls into either, by rounding.
    apart = np.abs(by_url.bin_mass[told] - by_weights.bin_mass[told]).max(axis=1) > 2e-3
    assert apart.mean() < 0.002


def test_a_cut_within_what_is_told_is_judged_as_by_weights(
    setup: EngineSetup, sound: Draws
) -> None:
    by_weights = scored(setup, sound)
    by_url = scored(setup, sound, ModelRows(setup, most=64))
    for name in CUT:
        rows = of_case(by_url, name)
        judged = rows & (by_url.support != Support.UNKNOWN)
        assert judged.sum() > 0.6 * rows.sum(), name
        assert (by_url.support[judged] == by_weights.support[judged]).all()
        for column in ("surprisal", "entropy", "pit_rank", "log_ratio"):
            ours, theirs = getattr(by_url, column)[judged], getattr(by_weights, column)[judged]
            np.testing.assert_allclose(ours, theirs, atol=2e-3, err_msg=f"{name} {column}")


def test_a_cut_beyond_what_is_told_is_left_out(setup: EngineSetup, sound: Draws) -> None:
    by_url = scored(setup, sound, ModelRows(setup, most=8))
    for name in ("top-k", "top-k-p"):
        assert (by_url.support[of_case(by_url, name)] == Support.UNKNOWN).all()


def test_what_is_not_told_is_no_impossible_token(setup: EngineSetup, sound: Draws) -> None:
    by_url = scored(setup, sound, ModelRows(setup, most=16))
    plain = of_case(by_url, "plain")
    assert 0 < (by_url.support[plain] == Support.UNKNOWN).sum() < plain.sum()
    assert (by_url.support != Support.OUTSIDE).all()
    assert np.isfinite(by_url.log_ratio[by_url.support == Support.UNKNOWN]).all()


def test_what_is_told_is_tested_within_itself(setup: EngineSetup, sound: Draws) -> None:
    by_url = scored(setup, sound, ModelRows(setup, most=16))
    inside = (by_url.support == Support.INSIDE) & of_case(by_url, "hot")
    np.testing.assert_allclose(by_url.bin_mass[inside].sum(axis=1), 1.0, atol=1e-5)
    assert (by_url.entropy[inside] <= np.log(16) + 1e-5).all()


def test_a_banned_token_is_impossible_though_it_is_not_told(
    setup: EngineSetup, sound: Draws
) -> None:
    request, answer = next(each for each in sound if each[0].key.startswith("law/cool#"))
    banned = msgspec.structs.replace(answer, token_ids=(9, *answer.token_ids[1:]))
    table = scored(setup, [(request, banned)], ModelRows(setup, most=1))
    assert table.support[0] == Support.OUTSIDE


def test_a_refused_output_ends_it(setup: EngineSetup, sound: Draws) -> None:
    """To leave it out would leave the others of its case a distribution of their own."""
    rows = ModelRows(setup, most=VOCAB)
    rows.refused = {sound[0][1].token_ids}
    with pytest.raises(EngineError, match="an output is not scored: too long"):
        scored(setup, sound[:3], rows)


def test_a_case_that_may_grow_too_long_is_left_out_however_short_its_output(
    setup: EngineSetup, sound: Draws
) -> None:
    rows = ModelRows(setup, most=VOCAB)
    rows.context = len(sound[0][0].prompt_ids) + sound[0][0].max_new_tokens
    table = scored(setup, sound[:3], rows)
    first = slice(0, int(table.starts[1]))
    assert (table.support[first] == Support.UNKNOWN).all()
    assert (table.stage[first] == Stage.UNKNOWN).all()
    assert (table.violation[first] == Violation.NONE).all()
    assert (table.support[first.stop :] == Support.INSIDE).all()


@pytest.mark.parametrize("most", [16, 64])
def test_a_sound_engine_is_not_accused(setup: EngineSetup, most: int) -> None:
    draws = drawn(setup, "native:gamma=3,rule=rejection,drafter=lookup", rounds=24)
    table = scored(setup, draws, ModelRows(setup, most=most), drafter="lookup")
    found = battery(table, stages=True)
    assert not found.broken
    assert found.combined.highest < np.log(1e3)


@pytest.mark.parametrize(
    "fault", ["accepts-every-draft", "nucleus-ignored", "bonus-from-draft", "relaxed-acceptance"]
)
def test_a_fault_is_seen_through_a_few_of_each_row(setup: EngineSetup, fault: str) -> None:
    spec = f"native:gamma=3,rule=rejection,fault={fault}"
    draws = drawn(setup, spec, rounds=40, only=("plain", "hot", "top-p", "top-k"))
    table = scored(setup, draws, ModelRows(setup, most=24))
    assert battery(table).broken


def test_no_draft_model_says_q_where_a_server_scores(setup: EngineSetup) -> None:
    served = ServerScorer(cast("HttpScorer", ModelRows(setup, most=8)))
    asked = Settings(setup=setup, shadow="model")
    with pytest.raises(SettingsError, match="no draft model"):
        DistributionScorer(asked, eos_token_ids=(0,), drafter=None, served=served)
    scorer = DistributionScorer(
        Settings(setup=setup), eos_token_ids=(0,), drafter="model", served=served
    )
    assert scorer.draft_distribution == "shadow prompt lookup"
    assert not scorer.stages


@pytest.mark.parametrize("temperature", [0.5, 0.9, 1.0, 1.5])
def test_the_rest_never_weighs_more_than_is_reckoned(temperature: float) -> None:
    torch.manual_seed(1)
    logits = (torch.randn(200, VOCAB) * 3).log_softmax(dim=-1).double()
    values, _ = logits.sort(dim=-1, descending=True)
    top, below = values[:, :20], values[:, 20:]
    told = UnreportedMass(
        least=top[:, -1],
        rest=below.exp().sum(dim=-1),
        magnitude=torch.ones(200),
        untold=VOCAB - 20,
    )
    request = Request(
        key="k", prompt_ids=(1,), max_new_tokens=1, sampling=Sampling(temperature=temperature)
    )
    norm = (top / temperature).logsumexp(dim=-1)
    most = most_rest(told, told.least / temperature - norm, norm, request)
    real = (below / temperature).logsumexp(dim=-1) - norm
    assert (most >= real.exp() * (1 - 1e-9)).all()


def test_penalties_that_raise_tokens_are_reckoned_with() -> None:
    distribution = Sampling(temperature=1.0, logit_bias={3: 2.0, 4: -5.0}, presence_penalty=-0.5)
    request = Request(key="k", prompt_ids=(1,), max_new_tokens=10, sampling=distribution)
    assert lift(request) == 2.5
