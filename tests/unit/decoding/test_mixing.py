"""Prompt lookup and a draft model in turn: the same tokens, and each where it is the better bet."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from equivcheck.core.generation import Request
from equivcheck.decoding.drafters import PromptLookupDrafter
from equivcheck.decoding.gamma import CAUGHT_UP, DraftCost
from equivcheck.decoding.mixing import SIZES, LookupResult, MixedDrafter, MixedGamma
from equivcheck.decoding.outcome import RowOutcome
from equivcheck.decoding.rows import Rows
from equivcheck.decoding.verification import MatchRule, RejectionRule, VerificationRule
from tests.unit.decoding.models import decode, make_decoder, make_requests, model_drafter

CHEAP, DEAR = DraftCost(0.01, 0.0), DraftCost(0.3, 0.2)
GAMMA = 5


def mixed(*, rows: int, noise: float = 0.08) -> MixedDrafter:
    return MixedDrafter(model_drafter(rows=rows, noise=noise), PromptLookupDrafter())


def policy(*, may_pause: bool = False) -> MixedGamma:
    return MixedGamma(GAMMA, cost=DEAR, lookup_cost=CHEAP, may_pause=may_pause)


def outcome(*, drafted: int = 0, accepted: int = 0, found: int = 0, size: int = 2) -> RowOutcome:
    return RowOutcome(
        drafted=drafted,
        accepted=accepted,
        rejected=None,
        tokens=[0] * (accepted + 1),
        scores=[],
        digests=[],
        forecast=found * SIZES + size if found else 0,
    )


class TakesTurns(MixedGamma):
    """Looks up for some steps and asks the model for others, whatever would be better."""

    def __init__(self, *, looking: int) -> None:
        super().__init__(GAMMA, cost=DEAR, lookup_cost=CHEAP, may_pause=False)
        self.steps, self.lookups = 0, looking
        self.by_model: list[RowOutcome] = []

    def choose(self) -> int:
        return GAMMA

    def observe(self, gamma: int, outcomes: Sequence[RowOutcome]) -> None:
        self.by_model += [] if self.looking else outcomes
        super().observe(gamma, outcomes)
        self.steps += 1
        self.looking = self.steps % (self.lookups + 2) < self.lookups


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("may_pause", [False, True])
def test_mixed_drafts_change_no_token(rows: int, may_pause: bool) -> None:
    requests = make_requests(9, tokens=40)
    expected = decode(make_decoder(rows=rows), requests)
    chosen = policy(may_pause=may_pause)
    answers = decode(
        make_decoder(mixed(rows=rows), rows=rows, policy=chosen, gamma=GAMMA), requests
    )
    for key, answer in answers.items():
        assert answer.token_ids == expected[key].token_ids
        assert answer.logit_digests == expected[key].logit_digests
    # Both were asked, and both were right at times.
    assert chosen.acceptance.hits > 0.1
    assert chosen.repeats


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("looking", [1, 3, 12])
@pytest.mark.parametrize("rule", [MatchRule(), RejectionRule()], ids=["coupled", "rejection"])
def test_the_model_knows_what_was_looked_up(
    rows: int, looking: int, rule: VerificationRule
) -> None:
    """The target itself as a draft is always right, if its cache holds all the text."""
    requests = make_requests(5, tokens=70)
    turns = TakesTurns(looking=looking)
    decode(make_decoder(mixed(rows=rows, noise=0.0), rows=rows, rule=rule, policy=turns), requests)
    assert sum(row.drafted for row in turns.by_model) > 40
    assert all(row.accepted == row.drafted for row in turns.by_model)


def test_a_forecast_tells_what_a_lookup_would_find() -> None:
    rows = Rows(rows=3, positions=64, vocab=50, device=torch.device("cpu"))
    prompts = [(1, 2, 3, 4, 1, 2), (1, 2, 3, 4, 5, 6), (1, 5, 3, 4, 5)]
    for row, prompt in enumerate(prompts):
        rows.admit(row, Request(key=str(row), prompt_ids=prompt, max_new_tokens=9), stop_ids=())
    forecast = mixed(rows=3).forecast(rows).tolist()
    assert [LookupResult.read(each) for each in forecast] == [
        LookupResult(4, 2),
        LookupResult(0, 0),
        LookupResult(3, 1),
    ]


def test_a_lookup_is_made_where_something_was_found() -> None:
    chosen = policy()
    assert chosen.unread == 2
    chosen.observe(3, [outcome(drafted=3, accepted=1)])
    assert not chosen.looking
    chosen.observe(3, [outcome(drafted=3, accepted=1, found=9)])
    assert (chosen.looking, chosen.choose(), chosen.unread) == (True, GAMMA, 0)
    chosen.observe(GAMMA, [outcome(drafted=GAMMA, accepted=4)])
    # Five tokens that the model has not seen, and two that it reads anyway.
    assert (chosen.looking, chosen.unread) == (False, 8)


def test_lookups_that_are_never_right_are_given_up() -> None:
    chosen = policy()
    for _ in range(40):
        gamma = chosen.choose()
        right = 0 if chosen.looking else gamma
        chosen.observe(gamma, [outcome(drafted=gamma, accepted=right, found=3)])
    assert not chosen.looking
    assert chosen.missed == 0


def test_longer_matches_are_trusted_by_themselves() -> None:
    chosen = policy()
    for step in range(60):
        gamma, size = chosen.choose(), 1 + step % 2
        right = gamma if chosen.found and chosen.found[0].size == 2 else 0
        accepted = right if chosen.looking else 1
        chosen.observe(gamma, [outcome(drafted=gamma, accepted=accepted, found=5, size=size)])
        if step > 35:
            assert chosen.looking is (size == 2)


def test_one_match_in_many_rows_is_not_worth_a_lookup() -> None:
    chosen = policy()
    chosen.observe(3, [outcome(drafted=3, accepted=2, found=5 * (row == 0)) for row in range(8)])
    assert not chosen.looking
    chosen.observe(3, [outcome(drafted=3, accepted=2, found=5) for _ in range(8)])
    assert chosen.looking


def test_after_long_lookups_the_model_reads_on_first() -> None:
    chosen = policy()
    chosen.observe(3, [outcome(drafted=3, accepted=3, found=5)])
    while chosen.missed <= CAUGHT_UP:
        chosen.observe(GAMMA, [outcome(drafted=GAMMA, accepted=GAMMA, found=5)])
    chosen.looking = False
    assert (chosen.behind, chosen.unread) == (True, 2)


def test_without_a_pause_something_is_always_drafted() -> None:
    chosen, pausing = policy(), policy(may_pause=True)
    for each in (chosen, pausing):
        for _ in range(12):
            gamma = each.choose()
            each.observe(gamma, [outcome(drafted=gamma)])
    assert chosen.choose() == 1
    assert pausing.choose() == 0
