"""What replays amount to: one wrong token is enough, and only what is known counts."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from equivcheck.records.replays import Came, Replays, RestsOn, nothing_replayed
from equivcheck.records.score_table import ScoreTable
from equivcheck.statistics.replayed import FINELY_FROM, ReplayCounts, replayed
from tests.unit.statistics.tables import LENGTH, Decoder, make

TABLE = make(Decoder(), seed=5, rounds=2)
SOUND = dataclasses.replace(
    nothing_replayed(TABLE.rows),
    came=np.full(TABLE.rows, Came.AS_IT_MUST, np.uint8),
    finely=np.full(TABLE.rows, Came.AS_IT_MUST, np.uint8),
    rests_on=np.resize(np.array([RestsOn.P, RestsOn.Q], np.uint8), TABLE.rows),
    off=np.resize(np.array([0.0, 0.1], np.float32), TABLE.rows),
    slack=np.full(TABLE.rows, 1e-3, np.float32),
)


COARSE: dict[int, dict[str, Any]] = {row: {"off": 5.0} for row in range(1, TABLE.rows, 60)}
"""More than one place in a hundred at which what was told of q is off."""


def changed(rows: dict[int, dict[str, Any]], replays: Replays = SOUND) -> Replays:
    columns = {name: getattr(replays, name).copy() for name in ("came", "finely", "rests_on")}
    columns |= {name: getattr(replays, name).copy() for name in ("off", "token", "gap")}
    for row, values in rows.items():
        for name, value in values.items():
            columns[name][row] = value
    return dataclasses.replace(replays, **columns)


def both(came: Came, **more: Any) -> dict[str, Any]:
    return {"came": came, "finely": came} | more


def judged(replays: Replays | None, *, void: bool = False) -> ReplayCounts:
    found = replayed(table(replays), void=void)
    assert found is not None
    return found


def table(replays: Replays | None) -> ScoreTable:
    return dataclasses.replace(TABLE, replays=replays)


def test_without_replays_there_is_nothing_to_say() -> None:
    assert replayed(table(None), void=False) is None


def test_sound_replays_are_counted() -> None:
    found = judged(SOUND)
    assert (found.tokens, found.replayed, found.wrong) == (TABLE.rows, TABLE.rows, 0)
    assert found.about_q == TABLE.rows // 2
    assert (found.first, found.left_out, found.finely) == (None, {}, True)


def test_one_wrong_token_is_named() -> None:
    row = LENGTH + 3
    found = judged(changed({row: both(Came.OTHER_TOKEN, token=7, gap=0.25)}))
    assert (found.wrong, found.tokens_wrong, found.coins_wrong) == (1, 1, 0)
    assert found.first is not None
    assert (found.first.key, found.first.position) == (TABLE.keys[1], 3)
    assert (found.first.expected, found.first.gap) == (7, 0.25)


@pytest.mark.parametrize("gap", [math.inf, 1e9])
def test_a_token_out_of_reach_has_no_finite_gap(gap: float) -> None:
    found = judged(changed({2: both(Came.OTHER_TOKEN, gap=gap)}))
    assert found.first is not None
    assert found.first.gap == math.inf


def test_a_void_q_takes_what_rests_on_it_along() -> None:
    wrong_by_q, wrong_by_p = (changed(COARSE | {row: both(Came.OTHER_TOKEN)}) for row in (5, 4))
    assert judged(wrong_by_q).wrong == 1
    assert judged(wrong_by_q, void=True).wrong == 0
    assert judged(wrong_by_p, void=True).wrong == 1
    left = judged(wrong_by_q, void=True)
    assert left.replayed == TABLE.rows // 2
    assert sum(left.left_out.values()) == TABLE.rows // 2


def test_a_q_that_the_engine_tells_finely_is_its_own_whatever_the_drafts_are() -> None:
    """Then they were not drawn, or not judged, as the engine says."""
    wrong = {5: both(Came.OTHER_TOKEN)}
    assert judged(changed(wrong), void=True).wrong == 1
    # A place or two where arithmetic is coarse leave it told; more of them do not.
    assert judged(changed(wrong | {7: {"off": 5.0}}), void=True).wrong == 1
    assert judged(changed(COARSE | wrong), void=True).wrong == 0


def test_one_other_q_voids_q_everywhere() -> None:
    found = judged(changed({5: both(Came.OTHER_COIN), 9: {"rests_on": RestsOn.OTHER_Q}}))
    assert (found.wrong, found.about_q) == (0, 0)


def test_what_is_not_told_is_left_out_alone() -> None:
    found = judged(changed({9: both(Came.NOT_REPLAYED, rests_on=RestsOn.UNTOLD_Q)}))
    assert found.replayed == TABLE.rows - 1
    assert found.about_q == TABLE.rows // 2 - 1


def test_finely_counts_only_where_arithmetic_was_measured() -> None:
    doubtful = changed({5: {"came": Came.TIE_FLIPPED, "finely": Came.OTHER_TOKEN}})
    assert judged(doubtful).wrong == 1
    coarse = dataclasses.replace(doubtful, off=doubtful.off * 3)
    assert (judged(coarse).wrong, judged(coarse).flipped) == (0, 1)
    few = dataclasses.replace(doubtful, off=np.zeros_like(doubtful.off))
    few.off[1 : 2 * (FINELY_FROM - 1) : 2] = 0.1
    assert (judged(few).finely, judged(few).wrong) == (False, 0)


def test_near_ties_may_fall_either_way_but_not_all_the_other_way() -> None:
    ties = {row: both(Came.TIE_KEPT) for row in range(10)}
    flipped = {row: both(Came.TIE_FLIPPED) for row in range(10, 20)}
    even = judged(changed(ties | flipped))
    assert (even.ties, even.flipped) == (20, 10)
    assert even.flipped <= even.ties_allowed < 20
    lone = judged(changed({3: both(Came.TIE_FLIPPED)}))
    assert lone.ties_allowed >= 1
