"""Suffix drafts: the most frequent continuation, from a bounded pool that decides no token."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from equivcheck.core.generation import Generation, Request
from equivcheck.core.serving import ServingLimits
from equivcheck.decoding.suffix_drafter import SuffixDrafter
from equivcheck.decoding.suffixes import LONGEST, SuffixIndex, SuffixPool, continuation
from equivcheck.decoding.verification import RejectionRule
from equivcheck.serving.server import Server
from tests.unit.decoding.models import decode, make_decoder, make_requests

CPU = torch.device("cpu")
GAMMA = 5


def drafter(*, rows: int = 4, capacity: int = 4096) -> SuffixDrafter:
    return SuffixDrafter(rows=rows, most=GAMMA, device=CPU, capacity=capacity)


def drafts(context: Sequence[int], *texts: Sequence[int], most: int = GAMMA) -> list[int]:
    index = SuffixIndex()
    for key, text in enumerate(texts):
        index.extend(key, text)
    return continuation([index.match(context)], most=most)


def test_the_longest_suffix_decides_before_the_most_frequent() -> None:
    often = [[1, 2, 7]] * 5
    assert drafts([9, 1, 2], *often) == [7]
    assert drafts([9, 1, 2], *often, [9, 1, 2, 8]) == [8]


def test_the_most_frequent_continuation_is_drafted() -> None:
    assert drafts([1, 2], [1, 2, 3, 4], [1, 2, 5, 6], [1, 2, 5, 7]) == [5, 6]
    # Of equally frequent ones the smallest, in whatever order they came.
    assert drafts([1, 2], [1, 2, 6], [1, 2, 5]) == drafts([1, 2], [1, 2, 5], [1, 2, 6]) == [5]


def test_nothing_is_drafted_where_nothing_is_sure() -> None:
    assert drafts([1], [1, 2]) == []
    assert drafts([1, 2], [1, 3]) == []
    assert drafts([1, 2], *([1, 2, 10 + each] for each in range(11))) == []
    assert drafts([1, 2], *([1, 2, 10 + each] for each in range(10))) == [10]


def test_a_text_that_repeats_itself_is_drafted_from_itself() -> None:
    index = SuffixIndex()
    index.extend(None, [1, 2, 3])
    index.extend(None, [4, 1, 2])
    assert continuation([index.match([1, 2, 3, 4, 1, 2])], most=9) == [3, 4, 1, 2]
    long = [*range(100)] * 2
    index = SuffixIndex()
    index.extend(0, long)
    assert index.match(long[:150]).size == LONGEST


def test_the_pool_is_bounded_and_the_oldest_make_room() -> None:
    pool = SuffixPool(capacity=10)
    pool.put("a", [1, 2, 3, 4])
    pool.put("b", [5, 6, 7, 8])
    pool.put("c", [1, 2, 9, 9])
    assert (pool.tokens, list(pool.texts)) == (8, ["b", "c"])
    assert continuation([pool.match([1, 2])], most=1) == [9]
    pool.put("d", [*range(20, 50)])
    assert (pool.tokens, list(pool.texts)) == (10, ["d"])
    assert pool.texts["d"] == [*range(40, 50)]
    # Nothing is left of what was evicted.
    assert sum(map(len, pool.places.values())) == 9


def accepted(answers: dict[str, Generation]) -> int:
    return sum(step.accepted for answer in answers.values() for step in answer.steps)


@pytest.mark.parametrize("rows", [1, 4])
def test_the_pool_decides_no_token(rows: int) -> None:
    """In other orders, after other requests, after a reset: only acceptance differs."""
    requests = make_requests(9, tokens=40)
    plain = decode(make_decoder(rows=rows), requests)
    made = drafter(rows=rows)
    decoder = make_decoder(made, rows=rows, gamma=GAMMA)
    took: list[int] = []

    def asked(order: Sequence[Request]) -> None:
        answers = decode(decoder, [*order])
        for key, answer in answers.items():
            assert answer.token_ids == plain[key].token_ids
            assert answer.logit_digests == plain[key].logit_digests
        took.append(accepted(answers))

    asked(requests)
    asked(requests[::-1])
    asked(requests[3:] + requests[:3])
    made.reset()
    asked(requests)
    # The second time the answers are known; after a reset they are not.
    assert took[1] > 2 * took[0]
    assert took[3] == took[0]


def test_what_a_pool_holds_is_answers_of_requests_that_have_ended() -> None:
    made = drafter(rows=2)
    decoder = make_decoder(made, rows=2, gamma=GAMMA)
    answers = decode(decoder, make_requests(5))
    assert 3 <= len(made.pool.texts) <= 5
    held = {tuple(text) for text in made.pool.texts.values()}
    assert held <= {answer.token_ids for answer in answers.values()}
    other = drafter(rows=2)
    assert not other.pool.texts


def test_drafts_are_ragged_and_certain_under_rejection() -> None:
    decoder = make_decoder(drafter(), gamma=GAMMA, rule=RejectionRule())
    decode(decoder, make_requests(8, tokens=40))
    answers = decode(decoder, make_requests(8, tokens=40))
    steps = [step for answer in answers.values() for step in answer.steps]
    assert {step.drafted for step in steps} >= {0, 1, 3, GAMMA}
    assert {each for step in steps for each in step.draft_logprobs or ()} == {0.0}


def test_it_serves() -> None:
    requests = make_requests(6, tokens=30)
    expected = decode(make_decoder(rows=2), requests)
    server = Server(make_decoder(drafter(rows=2), rows=2, gamma=GAMMA), ServingLimits())
    for request in requests:
        server.submit(request)
    answered: dict[str, Generation] = {}
    while not server.idle:
        for event in server.advance():
            if event.generation is not None:
                answered[event.key] = event.generation
    assert {key: each.token_ids for key, each in answered.items()} == {
        key: each.token_ids for key, each in expected.items()
    }
