"""A drafter that was not asked for a while knows all the text when it is asked again."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest

from equivcheck.decoding.drafters import ModelDrafter
from equivcheck.decoding.gamma import CAUGHT_UP, AdaptiveGamma, DraftCost, GammaPolicy
from equivcheck.decoding.outcome import RowOutcome
from equivcheck.decoding.prefill import Span
from equivcheck.decoding.rows import Rows
from tests.unit.decoding.models import decode, make_decoder, make_requests, static

GAMMA = 3
PAUSE = CAUGHT_UP + 2


class Pauses(GammaPolicy):
    """Drafts for some steps and pauses for others, in turn."""

    def __init__(self, *, pause: int) -> None:
        super().__init__(GAMMA)
        self.plan = itertools.cycle([0] * pause + [GAMMA] * 4)
        self.next = next(self.plan)

    def choose(self) -> int:
        return self.next

    def observe(self, gamma: int, outcomes: Sequence[RowOutcome]) -> None:
        super().observe(gamma, outcomes)
        self.next = next(self.plan)


class CountsReading(ModelDrafter):
    """Remembers what it was given to read."""

    def __init__(self, *, rows: int) -> None:
        super().__init__(static(), rows=rows)
        self.given: list[tuple[int, int]] = []

    def read(self, rows: Rows, spans: Sequence[Span]) -> None:
        self.given += [(span.start, span.stop + 1) for span in spans]
        super().read(rows, spans)


@pytest.mark.parametrize("lag", [0, 1])
@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("pause", [1, 5, 14, 30, 31])
def test_the_target_itself_as_a_draft_is_always_right(pause: int, rows: int, lag: int) -> None:
    """Were a token missing in its cache, it would draft something else."""
    requests = make_requests(5, tokens=60)
    expected = decode(make_decoder(rows=rows), requests)
    decoder = make_decoder(CountsReading(rows=rows), rows=rows, policy=Pauses(pause=pause))
    decoder.runner.lag = lag
    answers = decode(decoder, requests)
    drafted = 0
    for key, answer in answers.items():
        assert answer.token_ids == expected[key].token_ids
        for step in answer.steps:
            drafted += step.drafted
            assert step.accepted == step.drafted, key
    assert drafted > 20


def test_a_drafter_reads_on_from_where_it_knows_a_row() -> None:
    drafter = CountsReading(rows=1)
    (request,) = make_requests(1, tokens=150)
    decode(make_decoder(drafter, rows=1, policy=Pauses(pause=PAUSE)), [request])
    prompt = len(request.prompt_ids)
    first, *later = drafter.given
    assert first == (0, prompt + PAUSE)
    assert later
    for known, length in later:
        assert PAUSE < length - known <= PAUSE + GAMMA + 2


def test_a_drafter_that_is_never_asked_reads_nothing() -> None:
    drafter = CountsReading(rows=2)
    policy = AdaptiveGamma(GAMMA, cost=DraftCost(5.0, 5.0))
    policy.patience = 10_000
    decode(make_decoder(drafter, rows=2, policy=policy), make_requests(4))
    assert not drafter.given
