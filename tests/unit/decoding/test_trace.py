"""What a step says about its drafts: how many were accepted, and which one was rejected."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from equivcheck.core.generation import Generation
from equivcheck.decoding.drafters import PromptLookupDrafter
from equivcheck.decoding.prefill import Span
from equivcheck.decoding.rows import Rows
from equivcheck.decoding.verification import (
    MatchRule,
    Proposal,
    RejectionRule,
    VerificationRule,
)
from tests.unit.decoding.models import decode, make_decoder, make_requests


class ReciteDrafter(PromptLookupDrafter):
    """Proposes the tokens that a recited answer has next, every third of them spoiled."""

    def __init__(self, recited: dict[tuple[int, ...], tuple[int, ...]], *, rows: int) -> None:
        super().__init__()
        self.recited = recited
        self.seats: list[tuple[int, tuple[int, ...]]] = [(0, ())] * rows

    def read(self, rows: Rows, spans: Sequence[Span]) -> None:
        for row, start, stop in spans:
            assert not start
            text = rows.tokens[row, : stop + 1]
            self.seats[row] = len(text), self.recited[tuple(text.tolist())]

    def token(self, answer: tuple[int, ...], place: int) -> int:
        token = answer[place] if 0 <= place < len(answer) else 0
        return token ^ 1 if place % 3 == 2 else token

    def propose(self, rows: Rows, rule: VerificationRule, *, gamma: int, unread: int) -> Proposal:
        del rule, unread
        places = [
            (answer, int(length) - prompt)
            for length, (prompt, answer) in zip(rows.length, self.seats, strict=True)
        ]
        tokens = [
            [self.token(answer, place + slot) for slot in range(gamma)] for answer, place in places
        ]
        return Proposal(torch.tensor(tokens), rows.draftable(gamma), None)


def rejected_of(generation: Generation) -> list[tuple[int, int]]:
    """Output place and token of each rejected draft."""
    place, found = 0, []
    for step in generation.steps:
        if step.rejected is not None:
            found.append((place + step.accepted, step.rejected))
        place += step.emitted
    return found


@pytest.mark.parametrize("rows", [1, 4])
def test_a_step_names_the_draft_that_was_rejected(rows: int) -> None:
    requests = make_requests(12)
    plain = decode(make_decoder(rows=rows), requests)
    recited = {request.prompt_ids: plain[request.key].token_ids for request in requests}
    drafter = ReciteDrafter(recited, rows=rows)
    traced = decode(make_decoder(drafter, rows=rows, rule=MatchRule()), requests)
    for key, generation in traced.items():
        answer = plain[key].token_ids
        assert generation.token_ids == answer
        assert rejected_of(generation) == first_spoiled(drafter, generation)
    assert sum(len(rejected_of(generation)) for generation in traced.values()) > 20


def first_spoiled(drafter: ReciteDrafter, generation: Generation) -> list[tuple[int, int]]:
    """Output place and token of each step's first spoiled draft: no later one is judged."""
    answer, start, found = generation.token_ids, 0, []
    for step in generation.steps:
        places = range(start, min(start + step.drafted, len(answer)))
        spoiled = [place for place in places if drafter.token(answer, place) != answer[place]]
        found += [(place, drafter.token(answer, place)) for place in spoiled[:1]]
        start += step.emitted
    return found


def test_a_rejected_draft_is_never_emitted_in_its_own_place() -> None:
    requests = make_requests(12, tokens=40)
    plain = decode(make_decoder(), requests)
    recited = {request.prompt_ids: plain[request.key].token_ids for request in requests}
    drafter = ReciteDrafter(recited, rows=4)
    answers = decode(make_decoder(drafter, rule=RejectionRule()), requests)
    found = [
        (generation.token_ids[place], rejected)
        for generation in answers.values()
        for place, rejected in rejected_of(generation)
        if place < len(generation.token_ids)
    ]
    assert len(found) > 20
    assert all(emitted != rejected for emitted, rejected in found)
