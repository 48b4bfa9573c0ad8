"""Drawing, scoring and looking: complete, interrupted, refuted, broken."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import msgspec
import numpy as np
import pytest

from equivcheck.capture.draws.draw_until import Refuted, draw_and_score, draw_tokens
from equivcheck.capture.draws.ledger import Ledger
from equivcheck.core.errors import RecordsError
from equivcheck.records.records import SAMPLED, SAMPLED_TARGET, Evidence
from equivcheck.records.sample_keys import parse_draw
from equivcheck.records.score_table import ScoreTable
from equivcheck.records.score_table_file import SCORES_NAME
from tests.unit.capture.draws.fakes import BUDGET, CASES, Clerk, Dice, Room


def hold(table: ScoreTable) -> bool:
    return False


def drawn(
    ledger: Ledger, engine: Dice, *, clerk: Clerk | None = None, refuted: Refuted = hold
) -> None:
    with ledger.writer:
        draw_and_score(ledger, {SAMPLED: engine}, scorer=clerk or Clerk(), refuted=refuted)


def tokens_of(evidence: Evidence) -> int:
    return sum(len(each.token_ids) for each in evidence.draws[SAMPLED].values())


def complete(evidence: Evidence) -> bool:
    """Whether every round that was begun is whole, and all of it is scored, in order."""
    rounds = Counter(parse_draw(key).round for key in evidence.draws[SAMPLED])
    assert evidence.scores is not None
    return set(rounds.values()) == {len(CASES)} and evidence.scores.keys == tuple(
        evidence.draws[SAMPLED]
    )


def test_the_budget_is_drawn_in_whole_rounds_and_all_is_scored(tmp_path: Path) -> None:
    room, told = Room(tmp_path), list[tuple[str, int, int]]()
    drawn(room.open(progress=lambda *step: told.append(step)), Dice())
    evidence = room.read()
    assert complete(evidence)
    assert BUDGET <= tokens_of(evidence) < BUDGET + 2 * 10 * len(CASES)
    assert len(evidence.scored) >= 6
    assert told[-1] == ("scoring draws", BUDGET, BUDGET)
    assert {doing for doing, _, _ in told} == {"drawing", "scoring draws"}
    assert all(draw.scores is None for draw in evidence.draws[SAMPLED].values())


def test_the_scores_are_those_of_the_tokens(tmp_path: Path) -> None:
    room = Room(tmp_path)
    drawn(room.open(), Dice())
    evidence = room.read()
    assert evidence.scores is not None
    tokens = [token for draw in evidence.draws[SAMPLED].values() for token in draw.token_ids]
    assert evidence.scores.surprisal.tolist() == tokens


@pytest.mark.parametrize("after", [0, 1, 7, 23, 40])
def test_interrupted_anywhere_it_ends_as_if_it_had_not_been(tmp_path: Path, after: int) -> None:
    whole, broken = Room(tmp_path / "whole"), Room(tmp_path / "broken")
    drawn(whole.open(), Dice())
    with pytest.raises(KeyboardInterrupt):
        drawn(broken.open(), Dice(stops_after=after))
    before = broken.read()
    engine, clerk = Dice(), Clerk()
    drawn(broken.open(), engine, clerk=clerk)
    known = before.scores.keys if before.scores else ()
    assert clerk.recalled == list(known)
    assert not set(engine.asked) & set(before.draws.get(SAMPLED, {}))
    evidence, other = broken.read(), whole.read()
    assert complete(evidence)
    shared = min(len(evidence.draws[SAMPLED]), len(other.draws[SAMPLED]))
    assert (
        list(evidence.draws[SAMPLED].items())[:shared]
        == (list(other.draws[SAMPLED].items())[:shared])
    )


def test_refuted_scores_end_it_early(tmp_path: Path) -> None:
    room = Room(tmp_path)
    drawn(room.open(), Dice(), refuted=lambda table: table.rows > BUDGET / 4)
    evidence = room.read()
    assert complete(evidence)
    assert BUDGET / 4 < tokens_of(evidence) < BUDGET / 2
    engine = Dice()
    drawn(room.open(), engine, refuted=lambda table: table.rows > BUDGET / 4)
    assert engine.asked == []


def test_a_gross_fault_ends_it_within_some_outputs(tmp_path: Path) -> None:
    room = Room(tmp_path, budget=8_000)
    looks = list[int]()

    def refuted(table: ScoreTable) -> bool:
        looks.append(table.rows)
        return table.rows >= 128

    drawn(room.open(), Dice(), refuted=refuted)
    evidence = room.read()
    assert looks == sorted(looks)
    assert looks[0] < 64 + 10 * len(CASES)
    assert tokens_of(evidence) < 300
    assert evidence.scores is not None
    assert evidence.scores.keys == tuple(evidence.draws[SAMPLED])
    engine = Dice()
    drawn(room.open(), engine, refuted=refuted)
    assert engine.asked == []


def test_early_looks_change_no_draw(tmp_path: Path) -> None:
    early, late = Room(tmp_path / "early", budget=2_000), Room(tmp_path / "late", budget=400)
    engine = Dice()
    drawn(early.open(), engine)
    drawn(late.open(), Dice())
    ours, theirs = (list(room.read().draws[SAMPLED].items()) for room in (early, late))
    assert complete(early.read())
    assert theirs == ours[: len(theirs)]
    assert len(engine.asked) == len(set(engine.asked))


def test_an_engine_that_breaks_ends_it_and_is_told_of(tmp_path: Path) -> None:
    room = Room(tmp_path)
    drawn(room.open(), Dice(fails="c#2"))
    evidence = room.read()
    (failed,) = evidence.failures
    assert (failed.arm, failed.key) == (SAMPLED, "law/c#2")
    assert evidence.scores is not None
    assert set(evidence.scores.keys) == {f"{case.key}#1" for case in CASES}
    assert len(evidence.draws[SAMPLED]) > len(CASES)
    drawn(room.open(), Dice())
    assert complete(room.read())


def test_an_engine_that_never_draws_does_not_run_on(tmp_path: Path) -> None:
    room = Room(tmp_path)
    drawn(room.open(), Dice(fails="law"))
    assert not room.read().draws
    assert len(room.read().failures) >= len(CASES)


def test_tokens_outside_the_vocabulary_are_kept_and_not_scored(tmp_path: Path) -> None:
    room, clerk = Room(tmp_path), Clerk()
    drawn(room.open(), Dice(wild="a#1"), clerk=clerk)
    assert "law/a#1" in room.read().draws[SAMPLED]
    assert clerk.scored == []
    drawn(room.open(), Dice(), clerk=clerk)
    assert clerk.scored == []


def test_draws_are_searched_for_the_stop_strings_of_their_requests(tmp_path: Path) -> None:
    room = Room(tmp_path)
    ledger = room.open()
    ledger.requests["law/a"] = msgspec.structs.replace(CASES[0], stop=("7",))
    drawn(ledger, Dice(wild="a#2"))
    evidence = room.read()
    found = evidence.stops_of_draws[SAMPLED]
    tokens = {key: draw.token_ids for key, draw in evidence.draws[SAMPLED].items()}
    assert "law/a#1" in found
    assert set(found) == {key for key in tokens if key.startswith("law/a")} - {"law/a#2"}
    assert found == {
        key: next((at for at, token in enumerate(tokens[key]) if "7" in str(token)), None)
        for key in found
    }


def test_without_scores_both_arms_draw_their_own(tmp_path: Path) -> None:
    room = Room(tmp_path, SAMPLED, SAMPLED_TARGET)
    ledger = room.open()
    with ledger.writer:
        draw_tokens(ledger, {SAMPLED: Dice(), SAMPLED_TARGET: Dice()})
    evidence = room.read()
    ours, theirs = evidence.draws[SAMPLED], evidence.draws[SAMPLED_TARGET]
    assert list(ours) == list(theirs)
    assert tokens_of(evidence) >= BUDGET
    assert all(ours[key].token_ids != theirs[key].token_ids for key in ours)


def test_scores_of_other_draws_are_an_error_to_judge_and_made_again(tmp_path: Path) -> None:
    room, other = Room(tmp_path / "one"), Room(tmp_path / "two", seed=4)
    drawn(room.open(), Dice())
    drawn(other.open(), Dice(), refuted=lambda table: True)
    scores = room.path.with_name(SCORES_NAME)
    scores.write_bytes(other.path.with_name(SCORES_NAME).read_bytes())
    with pytest.raises(RecordsError, match=r"scores\.safetensors: holds other scores than those"):
        room.read()
    engine = Dice()
    drawn(room.open(), engine)
    assert complete(room.read())
    assert engine.asked == []


def test_lost_scores_are_no_scores(tmp_path: Path) -> None:
    room = Room(tmp_path)
    drawn(room.open(), Dice())
    before = room.read().scores
    room.path.with_name(SCORES_NAME).unlink()
    assert room.read().scores is None
    drawn(room.open(), Dice())
    after = room.read().scores
    assert before is not None
    assert after is not None
    assert np.array_equal(before.surprisal, after.surprisal)
