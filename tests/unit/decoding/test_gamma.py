from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest

from equivcheck.core.cases import Sampling
from equivcheck.core.generation import Request
from equivcheck.decoding.gamma import (
    CAUGHT_UP,
    MOST_PATIENCE,
    PATIENCE,
    AdaptiveGamma,
    DraftCost,
    GammaPolicy,
)
from equivcheck.decoding.outcome import RowOutcome
from tests.unit.decoding.models import decode, make_decoder


def outcome(*, drafted: int, accepted: int) -> RowOutcome:
    return RowOutcome(
        drafted=drafted, accepted=accepted, rejected=None, tokens=[], scores=[], digests=[]
    )


def feed(policy: GammaPolicy, *, accept: bool, steps: int = 40) -> list[int]:
    chosen = []
    for _ in range(steps):
        gamma = policy.choose()
        chosen.append(gamma)
        policy.observe(gamma, [outcome(drafted=gamma, accepted=gamma if accept else 0)])
    return chosen


def test_cheap_and_always_right_drafts_are_used_to_the_full() -> None:
    assert feed(AdaptiveGamma(7, cost=DraftCost(0.05, 0.05)), accept=True)[-1] == 7


def test_a_draft_that_is_never_right_is_tried_again_ever_more_rarely() -> None:
    chosen = feed(AdaptiveGamma(7, cost=DraftCost(0.3, 0.3)), accept=False, steps=1500)
    tried = [step for step, gamma in enumerate(chosen) if gamma]
    gaps = [later - earlier - 1 for earlier, later in pairwise(tried)]
    assert [gap for gap in gaps if gap] == [16, 32, 64, 128, *[MOST_PATIENCE] * 4]
    assert set(chosen[tried[-9] :]) == {0, 1}


def test_better_times_are_noticed_and_hard_ones_forgotten() -> None:
    policy = AdaptiveGamma(4, cost=DraftCost(0.3, 0.3))
    feed(policy, accept=False, steps=300)
    assert policy.patience > 4 * PATIENCE
    assert feed(policy, accept=True, steps=300)[-1] == 4
    assert policy.patience == PATIENCE


def test_a_dear_first_draft_makes_it_none_or_several() -> None:
    assert DraftCost(first=0.6, further=0.1).of(0) == 0
    assert DraftCost(first=0.6, further=0.1).of(3) == pytest.approx(0.8)
    dear = AdaptiveGamma(4, cost=DraftCost(first=0.6, further=0.1))
    dear.acceptance.hits = dear.acceptance.misses = 1.0
    assert dear.best() == 3
    dear.acceptance.misses = 2.3
    assert dear.best() == 0


def test_a_draft_as_dear_as_the_target_is_not_used() -> None:
    assert feed(AdaptiveGamma(7, cost=DraftCost(1.2, 1.2)), accept=True)[0] == 0


@pytest.mark.parametrize(("skipped", "unread"), [(0, 2), (1, 8), (6, 8), (7, 32), (30, 32)])
def test_unread_covers_what_was_skipped(skipped: int, unread: int) -> None:
    policy = GammaPolicy(4)
    for _ in range(skipped):
        policy.observe(0, [])
    assert policy.unread == unread >= skipped + 2
    assert not policy.behind
    policy.observe(4, [])
    assert policy.unread == 2


def test_after_many_skipped_steps_the_drafter_reads_on_first() -> None:
    policy = GammaPolicy(4)
    for _ in range(CAUGHT_UP):
        policy.observe(0, [])
    assert (policy.behind, policy.unread) == (False, CAUGHT_UP + 2)
    policy.observe(0, [])
    assert (policy.behind, policy.unread) == (True, 2)


def test_dearer_drafts_of_truncated_distributions_count_while_there_are_such_rows() -> None:
    policy = AdaptiveGamma(4, cost=DraftCost(0.05, 0.05), truncated_cost=DraftCost(1.0, 1.0))
    assert policy.best() == 4
    policy.truncating = True
    assert policy.best() == 0
    alike = AdaptiveGamma(4, cost=DraftCost(0.05, 0.05))
    alike.truncating = True
    assert alike.best() == 4


class Noting(GammaPolicy):
    """Notes at each step whether a row draws from a truncated distribution."""

    def __init__(self) -> None:
        super().__init__(0)
        self.noted: list[bool] = []

    def observe(self, gamma: int, outcomes: Sequence[RowOutcome]) -> None:
        self.noted.append(self.truncating)


def test_a_policy_is_told_while_a_row_draws_from_a_truncated_distribution() -> None:
    probs = {3: Sampling(temperature=1.0, top_k=9), 7: Sampling(temperature=1.0), 9: Sampling()}
    requests = [
        Request(key=f"w/{tokens}", prompt_ids=(20, 21), max_new_tokens=tokens, sampling=probs)
        for tokens, probs in probs.items()
    ]
    policy = Noting()
    decode(make_decoder(rows=3, policy=policy, eos=()), requests)
    assert policy.noted == [True] * 3 + [False] * 6
