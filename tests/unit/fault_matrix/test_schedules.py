"""Schedules have the shape that events and batches rely on, whatever the seed."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from equivcheck.core.cases import Suite
from equivcheck.core.ties import ties_at_cut
from equivcheck.fault_matrix.schedules import CONTEXT, PAGES, ROWS, SHARED, WRITERS, schedule


def encode(text: str) -> Sequence[int]:
    """One id a character."""
    return [ord(character) % 250 + 2 for character in text]


def written(name: str, seed: int = 0) -> Suite:
    return schedule(name, seed=seed, encode=encode, eos=0)


@pytest.mark.parametrize("name", WRITERS)
def test_batches_are_full_and_seeds_matter(name: str) -> None:
    suite = written(name)
    assert len(suite.cases) % ROWS == 0
    assert len({case.id for case in suite.cases}) == len(suite.cases) == len(suite.lines)
    assert suite.digest == written(name).digest != written(name, seed=1).digest
    assert suite.workload == name
    assert suite.description


def test_prompts_end_where_borders_are() -> None:
    lengths = [len(case.token_ids or ()) for case in written("borders", seed=3).cases]
    assert lengths == [*PAGES, CONTEXT - 40]


def test_bans_are_of_what_would_be_certain() -> None:
    cases = written("bans").cases
    banned = [case.sampling.banned_tokens for case in cases]
    assert len(set(banned)) == ROWS
    assert all({*case.sampling.logit_bias} == {*case.sampling.banned_tokens} for case in cases)


def test_pairs_of_prompts_share_pages_and_differ_behind() -> None:
    prompts = [case.token_ids or () for case in written("prefixes").cases]
    for shared, one, other in zip(SHARED, prompts[::2], prompts[1::2], strict=True):
        assert one[:shared] == other[:shared]
        assert one != other


def test_stop_strings_end_inside_a_token_in_each_slot_and_span_some() -> None:
    stops = ["".join(case.stop) for case in written("strings").cases]
    assert stops[:5] == ["man " * tokens + "ma" for tokens in range(5)]
    assert stops[5:7] == ["man man", "man man man man"]


def test_ties_are_of_best_tokens_and_across_a_cut() -> None:
    ties = schedule("ties", seed=0, encode=lambda text: encode(text[::-1]), eos=0)
    samplings = [case.sampling for case in ties.cases]
    across = [sampling for sampling in samplings if ties_at_cut(sampling)]
    assert len(across) == 2
    assert not any(sampling.greedy for sampling in across)
    assert sum(sampling.greedy for sampling in samplings) == ROWS // 2


def test_an_unknown_schedule_gets_a_suggestion() -> None:
    with pytest.raises(KeyError, match="did you mean 'borders'"):
        written("border")
