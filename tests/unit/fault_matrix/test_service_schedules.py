"""Schedules of services have the shape that faults rely on, whatever the seed."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from equivcheck.fault_matrix.schedules import CONTEXT
from equivcheck.fault_matrix.service_schedules import DEMANDS, LIMITS, WRITERS, Service, service


def encode(text: str) -> Sequence[int]:
    """One id a character."""
    return [ord(character) % 250 + 2 for character in text]


def written(name: str, seed: int = 0) -> Service:
    return service(name, seed=seed, encode=encode, eos=0)


def prompts(name: str) -> list[tuple[int, ...]]:
    return [request.prompt_ids for request in written(name, seed=3).requests.values()]


@pytest.mark.parametrize("name", WRITERS)
def test_every_request_comes_once_and_seeds_matter(name: str) -> None:
    found = written(name)
    keys = [each.key for each in found.schedule.arrivals]
    assert keys == list(found.requests) == list(dict.fromkeys(keys))
    assert found.digest == written(name).digest != written(name, seed=1).digest
    assert found.schedule.name == name
    for request in found.requests.values():
        assert request.prompt_ids
        assert len(request.prompt_ids) + request.max_new_tokens <= CONTEXT


def test_every_schedule_demands_what_it_is_for() -> None:
    assert DEMANDS.keys() == WRITERS.keys()
    assert LIMITS.keys() <= WRITERS.keys()
    assert all(DEMANDS.values())


def test_prompts_come_again_and_begin_alike() -> None:
    first, inside, again, middle, border, *_ = prompts("again")
    assert first == again
    assert first[:40] == inside[:40] != first[:41]
    assert first[:16] != middle[:16]
    assert first[16:] == middle[16:]
    assert len(border) % 16 == 1
    assert border == first[: len(border)]
    beginnings = {prompt[:70] for prompt in prompts("shared")}
    assert len(beginnings) == 1


def test_samples_share_a_prompt_and_number_their_keys() -> None:
    requests = written("samples").requests
    assert [key.rpartition("#")[2] for key in requests] == ["0", "1", "2", "3"] * 2
    assert len({key.rpartition("#")[0] for key in requests}) == 2
    assert len({request.prompt_ids for request in requests.values()}) == 2


def test_some_are_given_up_in_each_state_and_some_come_again() -> None:
    arrivals = written("given-up").schedule.arrivals
    patience = [each.give_up_after and each.give_up_after.tokens for each in arrivals]
    assert {None, 0, 1, 3} <= set(patience)
    returning = [each for each in arrivals if each.retry is not None]
    assert 0 < len(returning) < sum(tokens is not None for tokens in patience)
