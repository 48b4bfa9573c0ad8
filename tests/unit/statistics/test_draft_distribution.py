"""The drafter is not on trial: what contradicts q voids what rests on q, and accuses nobody."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from equivcheck.records.score_table import (
    LOOKUP_DRAFTS,
    ONE_HOT_DRAFTS,
    ScoreTable,
    Stage,
    Violation,
)
from equivcheck.statistics.battery import Battery, evaluate
from equivcheck.statistics.combination import WEIGHTS, combine
from tests.unit.statistics.tables import Decoder, make, target

SEEDS = range(40)
MISREAD = (0.03, 0.1, 0.3, 1.0)
"""Nats: from what half precision does to another model."""


def judged(scores: ScoreTable, *, alpha: float = 1e-4) -> Battery:
    return evaluate(scores, alpha=alpha, alpha_pass=1e-3, stages=True)


@pytest.mark.parametrize("misread", MISREAD)
def test_a_lossless_decoder_that_drafts_by_another_distribution_is_not_accused(
    misread: float,
) -> None:
    found = judged(make(Decoder(misread=misread), seed=5, rounds=150))
    assert not found.broken
    assert found.impossible.total == 0
    assert found.void is not None
    assert found.void.events.total > 0
    assert set(found.stages) == {"bonus"}
    assert set(found.parts) == {"output", "bonus", "serial", "crossing"}


@pytest.mark.parametrize("misread", MISREAD)
def test_it_is_refuted_no_more_often_than_alpha(misread: float) -> None:
    alpha = 0.05
    found = [judged(make(Decoder(misread=misread), seed=seed), alpha=alpha) for seed in SEEDS]
    # Of 40 runs, 7 are more than chance explains once in a thousand times (binomial).
    assert sum(each.broken for each in found) <= 7


def test_q_stands_where_drafts_follow_it() -> None:
    assert [judged(make(Decoder(), seed=seed)).void for seed in SEEDS] == [None] * len(SEEDS)


@pytest.mark.parametrize(
    "decoder",
    [
        Decoder(misread=0.3, accept=lambda odds: np.minimum(1.0, odds / 0.8)),
        Decoder(misread=0.3, recover=target),
        Decoder(misread=0.3, bonus=lambda p, q: q),
    ],
    ids=["accepts-too-much", "recovers-from-target", "bonus-from-draft"],
)
def test_a_rule_that_is_broken_too_is_refuted_by_p_alone(decoder: Decoder) -> None:
    found = judged(make(decoder, seed=5, rounds=120))
    assert found.void is not None
    assert found.broken_alone


def test_what_leaves_the_output_right_is_a_matter_of_the_drafter() -> None:
    sound = make(Decoder(), seed=5)
    violation = sound.violation.copy()
    violation[int(np.flatnonzero(sound.stage == Stage.ACCEPTED)[3])] = Violation.DRAFTED_IMPOSSIBLE
    found = judged(dataclasses.replace(sound, violation=violation))
    assert not found.broken
    assert found.void is not None
    assert found.void.events.counts == {"drafted-impossible": 1}
    assert found.void.draft.highest < math.log(1e3)


def test_drafts_off_q_void_it_without_any_event() -> None:
    sound = make(Decoder(), seed=5, rounds=40)
    found = judged(dataclasses.replace(sound, draft_bin=np.zeros_like(sound.draft_bin)))
    assert found.void is not None
    assert found.void.events.total == 0
    assert found.void.draft.highest >= math.log(1e3)
    assert not found.broken


@pytest.mark.parametrize("distribution", [LOOKUP_DRAFTS, ONE_HOT_DRAFTS])
def test_certain_drafts_have_a_known_distribution_and_are_held_to_it(distribution: str) -> None:
    scores = make(Decoder(recover=target), seed=1, rounds=60)
    found = judged(dataclasses.replace(scores, draft_distribution=distribution))
    assert found.void is None
    assert set(found.impossible.counts) == {"recovered-impossible"}
    assert found.broken_alone


def test_where_q_stands_stages_refute_before_the_output_does() -> None:
    stingy = Decoder(accept=lambda odds: np.where(odds < 1, 0.9 * odds, 1.0))
    found = judged(make(stingy, seed=1, rounds=60))
    assert found.void is None
    assert found.broken
    assert found.alone_after is None or found.alone_after > (found.failed_after or math.inf)


def test_to_drop_a_part_never_adds_an_accusation() -> None:
    random = np.random.default_rng(2)
    parts = {name: random.normal(size=50).cumsum() for name in WEIGHTS}
    kept = {name: process for name, process in parts.items() if name != "stages"}
    assert np.all(combine(kept, planned=parts) <= combine(parts) + 1e-12)
    assert np.allclose(combine(kept), combine(kept, planned=kept))
    one = {name: np.zeros(1) for name in kept}
    assert combine(one, planned=parts)[0] == pytest.approx(math.log(1.0 - WEIGHTS["stages"]))
