"""A decoder answers one run at a time: one broken off leaves nothing, one overtaken says so."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from equivcheck.core.errors import EngineError
from equivcheck.core.generation import Generation
from tests.unit.decoding.models import decode, make_decoder, make_requests, model_drafter


def keys(run: Iterator[Generation]) -> list[str]:
    return [generation.key for generation in run]


def test_a_run_that_others_overtook_ends_with_an_error_and_costs_them_nothing() -> None:
    decoder = make_decoder(model_drafter(rows=2), rows=2)
    requests = make_requests(8)
    alone = decode(decoder, requests[4:])
    first = decoder.run(requests[:4])
    begun = next(first).key
    second = decoder.run(requests[4:])
    answers = {(early := next(second)).key: early}
    with pytest.raises(EngineError, match="while 3 of these requests had no answer"):
        keys(first)
    answers |= {generation.key: generation for generation in second}
    assert begun in {request.key for request in requests[:4]}
    assert {key: found.token_ids for key, found in answers.items()} == {
        key: found.token_ids for key, found in alone.items()
    }
    assert keys(first) == []


def test_other_work_than_a_run_ends_it_too() -> None:
    decoder = make_decoder(rows=2)
    run = decoder.run(make_requests(3))
    next(run)
    decoder.clear()
    with pytest.raises(EngineError, match="take all answers first"):
        next(run)


def test_a_run_that_was_broken_off_leaves_the_next_one_whole() -> None:
    decoder = make_decoder(rows=2)
    requests = make_requests(4)
    whole = decode(decoder, requests)
    broken = decoder.run(requests)
    next(broken)
    broken.close()  # type: ignore[attr-defined]
    again = decode(decoder, requests)
    assert {key: found.token_ids for key, found in again.items()} == {
        key: found.token_ids for key, found in whole.items()
    }


def test_a_run_that_has_answered_everything_may_be_asked_for_more() -> None:
    decoder = make_decoder(rows=2)
    requests = make_requests(2)
    one, other = (decoder.run([request]) for request in requests)
    assert [next(one).key, next(other).key] == [request.key for request in requests]
    assert keys(one) == keys(other) == []
