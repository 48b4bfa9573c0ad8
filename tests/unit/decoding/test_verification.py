"""The output distribution of each rule, and the borders of the accept test."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from equivcheck.core.cases import Sampling
from equivcheck.core.generation import Request
from equivcheck.decoding.rows import Rows
from equivcheck.decoding.streams import Purpose
from equivcheck.decoding.verification import (
    BlockRule,
    MatchRule,
    Proposal,
    RejectionRule,
    VerificationRule,
    leading,
    longest,
)
from equivcheck.engines.native_options import RULE_CLASSES

VOCAB = 6
TRIALS = 20_000
NAMES = [name for name in RULE_CLASSES if name != "greedy"]
RULES: list[VerificationRule] = [RULE_CLASSES[name]() for name in NAMES]


def sampled_rows(count: int, *, temperature: float = 1.0) -> Rows:
    rows = Rows(rows=count, positions=16, vocab=VOCAB, device=torch.device("cpu"))
    requests = [
        Request(
            key=f"r/{row}",
            prompt_ids=(0,),
            max_new_tokens=8,
            sampling=Sampling(temperature=temperature),
        )
        for row in range(count)
    ]
    for row, request in enumerate(requests):
        rows.admit(row, request, stop_ids=())
    rows.controls.set_features(requests)
    return rows


PAIRS = {
    "overlapping": ([0.5, 0.2, 0.1, 0.1, 0.05, 0.05], [0.1, 0.4, 0.2, 0.1, 0.1, 0.1]),
    "disjoint": ([0.6, 0.4, 0, 0, 0, 0], [0, 0, 0.3, 0.3, 0.2, 0.2]),
    "equal": ([0.3, 0.3, 0.1, 0.1, 0.1, 0.1], [0.3, 0.3, 0.1, 0.1, 0.1, 0.1]),
    "one-hot draft": ([0.5, 0.2, 0.1, 0.1, 0.05, 0.05], [0, 1, 0, 0, 0, 0]),
    "one-hot target": ([0, 0, 1, 0, 0, 0], [0.2, 0.2, 0.2, 0.2, 0.1, 0.1]),
}


@pytest.mark.parametrize("distribution", PAIRS, ids=str)
@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_every_output_position_follows_the_target(
    rule: VerificationRule, distribution: str
) -> None:
    """Two drafts: the first output token always exists, the second after one acceptance."""
    target, draft = (torch.tensor(probs) for probs in PAIRS[distribution])
    rows = sampled_rows(TRIALS)
    target_log_probs = target.log().expand(TRIALS, 3, VOCAB)
    draft_log_probs = draft.log().expand(TRIALS, 2, VOCAB)
    tokens = rule.draw(draft_log_probs, rows, rows.upcoming(2))
    proposal = Proposal(tokens, torch.full((TRIALS,), 2), draft_log_probs)
    verified = rule.verify(target_log_probs, proposal, rows)
    for slot in range(3):
        reached = verified.accepted >= slot
        counts = torch.bincount(verified.tokens[reached, slot], minlength=VOCAB)
        possible = target > 0
        assert counts[~possible].sum() == 0
        if reached.sum() < 500 or possible.sum() == 1:
            continue
        weights = target[possible].double()
        expected = weights / weights.sum() * counts.sum()
        test = stats.chisquare(counts[possible].numpy(), expected.numpy())
        # Fixed streams: this either always holds or never does.
        assert test.pvalue > 1e-4, (slot, counts.tolist())


def test_rejection_accepts_as_often_as_it_should() -> None:
    target, draft = (torch.tensor(probs) for probs in PAIRS["overlapping"])
    rows = sampled_rows(TRIALS)
    rule = RejectionRule()
    draft_log_probs = draft.log().expand(TRIALS, 1, VOCAB)
    tokens = rule.draw(draft_log_probs, rows, rows.upcoming(1))
    proposal = Proposal(tokens, torch.full((TRIALS,), 1), draft_log_probs)
    verified = rule.verify(target.log().expand(TRIALS, 2, VOCAB), proposal, rows)
    overlap = float(torch.minimum(target, draft).sum())
    test = stats.binomtest(int(verified.accepted.sum()), TRIALS, overlap)
    assert test.pvalue > 1e-4


def fix_the_coin(rows: Rows, monkeypatch: pytest.MonkeyPatch, *, value: float) -> None:
    drawn = rows.streams.uniform

    def uniform(positions: torch.Tensor, purpose: Any, *, width: int) -> torch.Tensor:
        values = drawn(positions, purpose, width=width)
        return torch.full_like(values, value) if purpose is Purpose.ACCEPT else values

    monkeypatch.setattr(rows.streams, "uniform", uniform)


def test_a_token_the_target_rules_out_is_never_accepted_even_by_a_coin_of_zero(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`coin <= p / q` would accept it (sglang #35771)."""
    rows = sampled_rows(4)
    fix_the_coin(rows, monkeypatch, value=0.0)
    target = torch.tensor([0.0, 0.5, 0.5, 0, 0, 0]).log().expand(4, 2, VOCAB)
    draft = torch.tensor([1.0, 0, 0, 0, 0, 0]).log().expand(4, 1, VOCAB)
    tokens, lengths = torch.zeros(4, 1, dtype=torch.int64), torch.ones(4, dtype=torch.int64)
    verified = RejectionRule().verify(target, Proposal(tokens, lengths, draft), rows)
    assert verified.accepted.tolist() == [0, 0, 0, 0]
    assert set(verified.tokens[:, 0].tolist()) <= {1, 2}


def test_equal_distributions_reject_nothing_even_by_the_largest_coin(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = sampled_rows(4)
    fix_the_coin(rows, monkeypatch, value=1.0 - 2.0**-24)
    probs = torch.tensor(PAIRS["equal"][0]).log()
    tokens = torch.arange(4)[:, None]
    proposal = Proposal(tokens, torch.ones(4, dtype=torch.int64), probs.expand(4, 1, VOCAB))
    verified = RejectionRule().verify(probs.expand(4, 2, VOCAB), proposal, rows)
    assert verified.accepted.tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_drafts_beyond_a_rows_length_are_never_accepted(rule: VerificationRule) -> None:
    rows = sampled_rows(4)
    probs = torch.tensor([1.0, 0, 0, 0, 0, 0]).log()
    lengths = torch.tensor([0, 1, 2, 3])
    tokens = torch.zeros(4, 3, dtype=torch.int64)
    verified = rule.verify(probs.expand(4, 4, VOCAB), Proposal(tokens, lengths, None), rows)
    assert torch.equal(verified.accepted, lengths)


def test_greedy_rows_reject_by_the_argmax_under_every_rule() -> None:
    rows = sampled_rows(2, temperature=0.0)
    probs = torch.tensor([0.3, 0.4, 0.3, 0, 0, 0]).log()
    for rule in RULES:
        tokens = torch.tensor([[1, 0], [1, 1]])
        proposal = Proposal(tokens, torch.tensor([2, 2]), None)
        verified = rule.verify(probs.expand(2, 3, VOCAB), proposal, rows)
        assert verified.accepted.tolist() == [1, 2]
        assert verified.tokens.gather(1, verified.accepted[:, None]).flatten().tolist() == [1, 1]


def test_the_coupled_rule_draws_what_plain_decoding_draws() -> None:
    rows = sampled_rows(50)
    target = torch.tensor(PAIRS["overlapping"][0]).log().expand(50, 4, VOCAB)
    plain = MatchRule().draw(target, rows, rows.upcoming(4))
    for drafts in (torch.zeros(50, 3, dtype=torch.int64), plain[:, :3]):
        verified = MatchRule().verify(target, Proposal(drafts, torch.full((50,), 3), None), rows)
        for row in range(50):
            good = int(verified.accepted[row]) + 1
            assert verified.tokens[row, :good].tolist() == plain[row, :good].tolist()


def test_a_later_draft_saves_an_earlier_one_that_alone_would_be_rejected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """p/q is 1/2, then 2: together the target is as likely to say it as the drafter."""
    rows = sampled_rows(2)
    fix_the_coin(rows, monkeypatch, value=0.9)
    likely = torch.tensor([0.4, 0.6, 0, 0, 0, 0]).log()
    unlikely = torch.tensor([0.8, 0.2, 0, 0, 0, 0]).log()
    target = torch.stack([likely, unlikely, likely]).expand(2, 3, VOCAB)
    draft = torch.stack([unlikely, likely]).expand(2, 2, VOCAB)
    for lengths, accepted in (([2, 2], 2), ([1, 1], 0)):
        proposal = Proposal(torch.zeros(2, 2, dtype=torch.int64), torch.tensor(lengths), draft)
        assert BlockRule().verify(target, proposal, rows).accepted.tolist() == [accepted] * 2
        assert RejectionRule().verify(target, proposal, rows).accepted.tolist() == [0, 0]


def test_blocks_of_other_lengths_beside_it_do_not_change_a_rows_block() -> None:
    rows = sampled_rows(400)
    target, draft = (torch.tensor(probs).log() for probs in PAIRS["overlapping"])
    tokens = BlockRule().draw(draft.expand(400, 5, VOCAB), rows, rows.upcoming(5))
    ragged = torch.arange(400) % 6
    for gamma in range(6):
        probs = (target.expand(400, gamma + 1, VOCAB), draft.expand(400, gamma, VOCAB))
        alone = Proposal(tokens[:, :gamma], torch.full((400,), gamma), probs[1])
        together = Proposal(tokens, ragged, draft.expand(400, 5, VOCAB))
        one = BlockRule().verify(probs[0], alone, rows)
        other = BlockRule().verify(target.expand(400, 6, VOCAB), together, rows)
        own = ragged == gamma
        assert torch.equal(one.accepted[own], other.accepted[own])
        place = one.accepted[:, None]
        ours, theirs = one.tokens.gather(1, place), other.tokens.gather(1, place)
        assert torch.equal(ours[own], theirs[own])


@given(st.lists(st.booleans(), max_size=8), st.integers(0, 8))
def test_longest_takes_the_last_prefix_that_passes(passes: list[bool], length: int) -> None:
    sizes = [size for size, passed in enumerate(passes[:length], start=1) if passed]
    found = longest(torch.tensor([passes], dtype=torch.bool), torch.tensor([length]))
    assert found.tolist() == [max(sizes, default=0)]


def test_draft_and_recovery_noise_are_independent() -> None:
    """Shared Gumbel noise between draft and recovery biases the output (vLLM #54282)."""
    rows = sampled_rows(4000)
    positions = rows.upcoming(1)
    draft = rows.streams.gumbel(positions, Purpose.DRAFT, width=VOCAB).flatten()
    recovery = rows.streams.gumbel(positions, Purpose.RESIDUAL, width=VOCAB).flatten()
    assert abs(stats.pearsonr(draft.numpy(), recovery.numpy()).statistic) < 4 / 24_000**0.5


@given(st.lists(st.booleans(), min_size=1, max_size=8), st.integers(0, 8))
def test_leading_counts_hits_before_the_first_miss(hits: list[bool], length: int) -> None:
    expected = 0
    for hit in hits[:length]:
        if not hit:
            break
        expected += 1
    assert leading(torch.tensor([hits]), torch.tensor([length])).tolist() == [expected]
