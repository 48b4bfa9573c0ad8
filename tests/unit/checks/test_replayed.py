"""The gate of replays: fails by one token, passes nothing it has not replayed, and says what."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec
import numpy as np
import pytest

from equivcheck.checks.replayed import check
from equivcheck.checks.verdict import judge
from equivcheck.core.findings import Finding, Outcome, Reason
from equivcheck.records.records import SAMPLED, Evidence
from equivcheck.records.replays import Came, Replays, RestsOn
from tests.unit.checks.test_sampled import evidence_of, table
from tests.unit.statistics.tables import Decoder
from tests.unit.statistics.test_replayed import both, changed

SCORES = table(Decoder(), rounds=40)
ROWS = SCORES.rows


def sound() -> Replays:
    return Replays(
        came=np.full(ROWS, Came.AS_IT_MUST, np.uint8),
        finely=np.full(ROWS, Came.AS_IT_MUST, np.uint8),
        off=np.full(ROWS, 0.1, np.float32),
        rests_on=np.resize(np.array([RestsOn.P, RestsOn.Q], np.uint8), ROWS),
        token=np.full(ROWS, 3, np.int32),
        gap=np.zeros(ROWS, np.float32),
        slack=np.full(ROWS, 1e-3, np.float32),
    )


def evidence(rows: dict[int, dict[str, Any]] | None = None, **options: Any) -> Evidence:
    replays = changed(rows or {}, sound())
    return evidence_of(dataclasses.replace(SCORES, replays=replays), **options)


def finding(run: Evidence) -> Finding:
    (found,) = check(run)
    return found


def test_an_engine_without_a_stream_is_not_replayed() -> None:
    assert check(evidence_of(SCORES)) == []
    assert check(evidence_of(None)) == []


def test_what_came_as_it_must_passes() -> None:
    found = finding(evidence())
    assert (found.outcome, found.reason, found.n) == (Outcome.PASS, Reason.REPLAYED, ROWS)
    assert found.headline == (
        f"{ROWS:,} of {ROWS:,} tokens replayed, each came as noise and rule give it "
        f"(0 near ties, 0 of them the other way)"
    )


def test_one_wrong_token_fails_and_is_named() -> None:
    run = evidence({20: both(Came.OTHER_TOKEN, token=9, gap=0.03)})
    found = finding(run)
    assert (found.outcome, found.reason) == (Outcome.FAIL, Reason.REPLAY_DIFFERS)
    key = SCORES.keys[1]
    emitted = run.draws[SAMPLED][key].token_ids[4]
    assert f"{key}, output token 4, where {emitted} came in place of 9" in found.headline
    assert "0.03 nats away" in found.details[0]
    assert found.details[1].startswith("it rests on p alone")
    assert judge(run).outcome is Outcome.FAIL


def test_a_wrong_coin_is_said_to_be_one() -> None:
    found = finding(evidence({21: both(Came.OTHER_COIN)}))
    assert "a draft was judged against its coin" in found.headline
    assert found.details[1].startswith("it rests on p and on q as the engine has it")
    assert found.details[2] == (
        "1 draft against the coin, 0 tokens against the noise, "
        "0 replacements by another weight than p - q"
    )


def test_a_wrong_weight_is_said_to_be_one() -> None:
    run = evidence({21: both(Came.OTHER_WEIGHT, gap=0.002)})
    found = finding(run)
    assert (found.outcome, found.reason) == (Outcome.FAIL, Reason.REPLAY_DIFFERS)
    emitted = run.draws[SAMPLED][SCORES.keys[1]].token_ids[5]
    assert "1 came otherwise than by the rule" in found.headline
    assert f"where {emitted} was drawn by another weight than p - q" in found.headline
    assert "the other weight is 0.002 nats away" in found.details[0]


def test_a_wrong_weight_is_no_accusation_where_q_is_another_one() -> None:
    found = finding(evidence({21: both(Came.OTHER_WEIGHT), 3: {"rests_on": RestsOn.OTHER_Q}}))
    assert found.outcome is Outcome.PASS


def test_the_verdict_of_a_wrong_token_is_its_headline() -> None:
    verdict = judge(evidence({21: both(Came.OTHER_COIN)}))
    assert "tokens replayed, 1 could not come" in verdict.headline


def test_another_q_is_no_accusation() -> None:
    found = finding(evidence({21: both(Came.OTHER_COIN), 3: {"rests_on": RestsOn.OTHER_Q}}))
    assert found.outcome is Outcome.PASS
    assert found.n == ROWS // 2
    assert any("the drafter's is another one" in line for line in found.details)


def test_nothing_replayed_passes_as_that() -> None:
    nothing = {row: both(Came.NOT_REPLAYED, rests_on=RestsOn.NOTHING) for row in range(ROWS)}
    found = finding(evidence(nothing))
    assert (found.outcome, found.reason, found.n) == (Outcome.PASS, Reason.NOT_REPLAYED, 0)
    assert found.headline.startswith(f"0 of {ROWS:,} tokens replayed: {ROWS:,} tokens, since no")


def test_near_ties_that_all_fall_the_other_way_are_doubtful() -> None:
    found = finding(evidence({row: both(Came.TIE_FLIPPED) for row in range(30)}))
    assert (found.outcome, found.reason) == (Outcome.INCONCLUSIVE, Reason.NO_ARBITRATION)
    assert "30 of 30 near ties fell the other way" in found.headline


@pytest.mark.parametrize("cut", [1, 5])
def test_scores_of_other_draws_say_nothing(cut: int) -> None:
    run = evidence({20: both(Came.OTHER_TOKEN)})
    draws = {SAMPLED: dict(list(run.draws[SAMPLED].items())[cut:])}
    assert check(msgspec.structs.replace(run, draws=draws)) == []
