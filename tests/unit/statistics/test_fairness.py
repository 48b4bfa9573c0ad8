"""Bets on dependence are fair too: their mean over a token's chance is the wealth before it."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from equivcheck.records.score_table import ScoreTable, Support, Twin
from equivcheck.statistics.crossing import crossing_process
from equivcheck.statistics.serial import serial_process
from tests.unit.statistics.tables import CASES, LENGTH, Decoder, make

ROW = (CASES - 1) * LENGTH + 3
"""A token that has both earlier tokens and earlier outputs to be held against."""
UNIFORM = (np.arange(2000) + 0.5) / 2000


def changed(scores: ScoreTable, *, row: int, **values: Any) -> ScoreTable:
    columns = {name: getattr(scores, name).copy() for name in values}
    for name, value in values.items():
        columns[name][row] = value
    return dataclasses.replace(scores, **columns)


def crossing_wealth(scores: ScoreTable, *, row: int, **values: Any) -> float:
    return float(np.exp(crossing_process(changed(scores, row=row, **values))[row]))


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("decoder", [Decoder(), Decoder(share_noise=True)], ids=["own", "shared"])
def test_transforms_side_by_side_are_a_fair_bet(seed: int, decoder: Decoder) -> None:
    scores = changed(make(decoder, seed=seed, rounds=1), row=ROW, crossing_mass=np.nan)
    before = float(np.exp(crossing_process(scores)[ROW - 1]))
    after = [crossing_wealth(scores, row=ROW, pit_vocabulary=u) for u in UNIFORM]
    assert np.mean(after) == pytest.approx(before, rel=1e-4)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_collisions_are_a_fair_bet(seed: int) -> None:
    scores = make(Decoder(), seed=seed, rounds=1)
    chance = float(scores.crossing_mass[ROW])
    neutral = crossing_wealth(scores, row=ROW, crossing_mass=np.nan)
    hit, miss = (crossing_wealth(scores, row=ROW, crossed=taken) for taken in (True, False))
    assert hit > miss
    assert chance * hit + (1 - chance) * miss == pytest.approx(neutral, rel=1e-9)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_twins_are_a_fair_bet(seed: int) -> None:
    row = CASES * LENGTH
    scores = make(Decoder(), seed=seed, rounds=2)
    chance = float(scores.twin_prob[row])
    neutral = crossing_wealth(scores, row=row, twin=Twin.NONE)
    same, other = (
        crossing_wealth(scores, row=row, twin=twin) for twin in (Twin.EQUAL, Twin.DIFFERENT)
    )
    assert same > other
    assert chance * same + (1 - chance) * other == pytest.approx(neutral, rel=1e-9)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_memory_within_an_output_is_a_fair_bet(seed: int) -> None:
    scores = make(Decoder(repeat_noise=True), seed=seed, rounds=1)
    before = np.exp(serial_process(scores)[ROW - 1])
    after = [np.exp(serial_process(changed(scores, row=ROW, pit_ratio=u))[ROW]) for u in UNIFORM]
    assert np.mean(after) == pytest.approx(before, rel=1e-4)
    assert max(after) > before


def test_twins_at_an_exact_tie_are_no_bet() -> None:
    row = CASES * LENGTH
    scores = make(Decoder(), seed=1, rounds=2)
    tied = [
        crossing_wealth(scores, row=row, twin=twin, support=Support.TIED)
        for twin in (Twin.NONE, Twin.EQUAL, Twin.DIFFERENT)
    ]
    assert len(set(tied)) == 1
