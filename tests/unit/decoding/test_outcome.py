from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from equivcheck.decoding.outcome import (
    Scores,
    fingerprint,
    fingerprint_weights,
    pack,
    scores_of,
    unpack,
)
from equivcheck.decoding.verification import Proposal, Verified

CPU = torch.device("cpu")


def scored(tokens: Tensor, logits: Tensor, *, only: Tensor | None = None) -> Scores:
    weights = fingerprint_weights(logits.shape[-1], CPU)
    return scores_of(tokens, logits=logits, penalised=logits, weights=weights, only=only)


@given(st.integers(0, 999), st.integers(0, 1), st.integers(0, 49))
def test_one_changed_bit_changes_the_fingerprint(seed: int, row: int, entry: int) -> None:
    logits = torch.randn(2, 50, generator=torch.Generator().manual_seed(seed))
    weights = fingerprint_weights(50, CPU)
    before = fingerprint(logits, weights)
    assert torch.equal(before, fingerprint(logits.clone(), weights))
    logits[row, entry] = torch.nextafter(logits[row, entry], torch.tensor(9.0))
    after = fingerprint(logits, weights)
    assert after[row] != before[row]
    assert after[1 - row] == before[1 - row]


def test_swapped_logits_change_the_fingerprint() -> None:
    logits = torch.tensor([[1.0, 2.0, 3.0]])
    weights = fingerprint_weights(3, CPU)
    assert fingerprint(logits, weights) != fingerprint(logits[:, [1, 0, 2]], weights)


def test_what_is_packed_comes_out() -> None:
    logits = torch.randn(2, 3, 20, generator=torch.Generator().manual_seed(0))
    tokens = torch.tensor([[4, 5, 6], [7, 8, 9]])
    verified = Verified(tokens, torch.tensor([2, 0]))
    digests = fingerprint(logits, fingerprint_weights(20, CPU))
    # The first row has its two drafts accepted, the second its only one rejected.
    proposal = Proposal(torch.tensor([[4, 5], [3, 0]]), torch.tensor([2, 1]), None)
    packed = pack(verified, proposal, scores=scored(tokens, logits))
    rows = unpack(packed)
    assert [(row.drafted, row.accepted, row.rejected, row.tokens) for row in rows] == [
        (2, 2, None, [4, 5, 6]),
        (1, 0, 3, [7]),
    ]
    assert rows[0].digests == digests[0].tolist()
    probs = logits.log_softmax(-1)
    for slot, score in enumerate(rows[0].scores):
        assert score.logprob == pytest.approx(float(probs[0, slot, tokens[0, slot]]), abs=1e-5)
        others = probs[0, slot].clone()
        others[tokens[0, slot]] = -torch.inf
        assert score.rival == int(others.argmax())
        assert score.rival_logprob == pytest.approx(float(others.max()), abs=1e-5)


def test_slots_that_are_left_out_change_no_others_score() -> None:
    logits = torch.randn(2, 3, 20, generator=torch.Generator().manual_seed(1))
    tokens = torch.tensor([[4, 5, 6], [7, 8, 9]])
    only = torch.tensor([[True, True, False], [True, False, False]])
    for part, whole in zip(scored(tokens, logits, only=only), scored(tokens, logits), strict=True):
        assert torch.equal(part[only], whole[only])
        assert not part[~only].any()


def test_q_of_each_judged_draft_is_told() -> None:
    verified = Verified(
        torch.tensor([[4, 5, 6], [7, 8, 9]]),
        torch.tensor([2, 0]),
        torch.tensor([[0.5, 0.25], [0.125, 0.9]]),
    )
    proposal = Proposal(torch.tensor([[4, 5], [3, 0]]), torch.tensor([2, 1]), None)
    packed = pack(verified, proposal, scores=scored(verified.tokens, torch.zeros(2, 3, 20)))
    first, second = (row.draft_logprobs for row in unpack(packed))
    assert first == pytest.approx((-0.6931472, -1.3862944))
    assert second == pytest.approx((-2.0794415,))


def test_the_weight_of_a_replacement_is_told_and_of_no_other_token() -> None:
    verified = Verified(
        torch.tensor([[4, 5], [7, 8]]),
        torch.tensor([1, 0]),
        torch.tensor([[0.5], [0.25]]),
        torch.tensor([0.75, 0.125]),
    )
    proposal = Proposal(torch.tensor([[4], [3]]), torch.tensor([1, 1]), None)
    packed = pack(verified, proposal, scores=scored(verified.tokens, torch.zeros(2, 2, 20)))
    accepted, rejected = (row.residual_log_weight for row in unpack(packed))
    assert accepted is None
    assert rejected == pytest.approx(-2.0794415)


def test_a_rule_without_q_tells_none() -> None:
    verified = Verified(torch.tensor([[4, 5]]), torch.tensor([1]))
    proposal = Proposal(torch.tensor([[4]]), torch.tensor([1]), None)
    packed = pack(verified, proposal, scores=scored(verified.tokens, torch.zeros(1, 2, 20)))
    assert unpack(packed)[0].draft_logprobs is None
    assert unpack(packed)[0].residual_log_weight is None


def test_a_banned_token_has_a_finite_score() -> None:
    logits = torch.zeros(1, 1, 4)
    logits[0, 0, 2] = -torch.inf
    verified = Verified(torch.tensor([[2]]), torch.tensor([0]))
    nothing = Proposal(torch.zeros(1, 0).long(), torch.tensor([0]), None)
    packed = pack(verified, nothing, scores=scored(verified.tokens, logits))
    assert unpack(packed)[0].rejected is None
    assert unpack(packed)[0].scores[0].logprob == -1e30
