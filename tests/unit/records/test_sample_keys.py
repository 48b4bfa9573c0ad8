"""How draws are called, ordered and seeded."""

from __future__ import annotations

import pytest

from equivcheck.records.records import SAMPLED_TARGET
from equivcheck.records.sample_keys import Draw, derive_seed, drawn_request, in_order, parse_draw
from tests.unit.make import make_request


def test_a_key_says_case_and_round() -> None:
    assert parse_draw("law/a#12") == Draw("law/a", 12)
    assert parse_draw(Draw("law/a", 12).key) == Draw("law/a", 12)


@pytest.mark.parametrize("key", ["law/a", "law/a#", "law/a#0", "law/a#01", "law/a#-1", "law/a#²"])
def test_other_keys_are_none_of_a_draw(key: str) -> None:
    with pytest.raises(ValueError, match="number of a round"):
        parse_draw(key)


def test_a_draw_is_asked_with_a_seed_of_its_own() -> None:
    pinned = make_request("law/a", seed=99)
    first, second = (drawn_request(pinned, round=number, seed=5) for number in (1, 2))
    assert (first.key, first.seed) == ("law/a#1", derive_seed(5, "law/a#1"))
    others = [
        second,
        drawn_request(pinned, round=1, seed=6),
        drawn_request(pinned, round=1, seed=5, arm=SAMPLED_TARGET),
    ]
    assert len({first.seed, 99, *(other.seed for other in others)}) == 5
    assert first.prompt_ids == pinned.prompt_ids


def test_draws_are_ordered_by_round_then_case() -> None:
    keys = ["law/b#1", "law/a#10", "law/a#2", "law/b#2", "law/a#1"]
    ordered = ["law/b#1", "law/a#1", "law/b#2", "law/a#2", "law/a#10"]
    assert in_order(keys, ("law/b", "law/a")) == ordered


def test_a_draw_of_another_case_has_no_place() -> None:
    with pytest.raises(ValueError, match="'law/c' is not among the cases"):
        in_order(["law/c#1"], ("law/a",))
