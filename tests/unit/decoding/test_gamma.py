from __future__ import annotations

import pytest

from equivcheck.decoding.gamma import PROBE_EVERY, AdaptiveGamma, GammaPolicy
from equivcheck.decoding.outcome import RowOutcome


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
    assert feed(AdaptiveGamma(7, draft_cost=0.05), accept=True)[-1] == 7


def test_a_draft_that_is_never_right_is_given_up_but_tried_again() -> None:
    chosen = feed(AdaptiveGamma(7, draft_cost=0.3), accept=False, steps=120)
    late = chosen[40:]
    assert set(late) == {0, 1}
    assert late.count(1) <= len(late) / PROBE_EVERY + 1
    assert late.count(1) >= 2


def test_a_draft_as_dear_as_the_target_is_not_used() -> None:
    assert feed(AdaptiveGamma(7, draft_cost=1.2), accept=True)[0] == 0


@pytest.mark.parametrize(("skipped", "unread"), [(0, 2), (1, 4), (2, 4), (3, 8), (6, 8), (7, 16)])
def test_unread_covers_what_was_skipped(skipped: int, unread: int) -> None:
    policy = GammaPolicy(4)
    for _ in range(skipped):
        policy.observe(0, [])
    assert policy.unread == unread >= skipped + 2
    policy.observe(4, [])
    assert policy.unread == 2
