"""The rejection rule's output distribution, read off the rule itself instead of sampled.

The coin and the noise are the rule's only randomness. Bisecting the coin gives each draft's exact
probability of acceptance; bisecting one token's noise gives its exact weight in the replacement.
Put together over all drafts they have to be the target's distribution (Leviathan et al. 2023,
appendix A.1).
"""

from __future__ import annotations

import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from equivcheck.core.cases import Sampling
from equivcheck.core.generation import Request
from equivcheck.decoding.rows import Rows
from equivcheck.decoding.streams import Purpose
from equivcheck.decoding.transforms import probabilities
from equivcheck.decoding.verification import Proposal, RejectionRule, Verified

VOCAB = 6
COINS = 2**24
"""A coin is one of so many multiples of 2**-24, below 1."""
MOST_NOISE = 120.0
WEIGHTS = st.one_of(
    st.sampled_from([0.0, 0.0, 1e-40, 1e-9, 0.25, 1.0, 1.0]), st.floats(0.0, 1.0, width=32)
)
DISTRIBUTION = st.lists(WEIGHTS, min_size=VOCAB, max_size=VOCAB).filter(
    lambda probs: sum(probs) > 1e-3
)


class FixedStreams:
    """Stands for a batch's streams: coins and noise as set."""

    def __init__(self, rows: int) -> None:
        self.coin = torch.zeros(rows)
        self.noise = torch.zeros(rows, VOCAB)

    def uniform(self, positions: Tensor, purpose: Purpose, *, width: int) -> Tensor:
        assert (purpose, positions.shape[1], width) == (Purpose.ACCEPT, 1, 1)
        return self.coin[:, None, None]

    def gumbel(self, positions: Tensor, purpose: Tensor, *, width: int) -> Tensor:
        del positions, purpose, width
        return self.noise[:, None]


class Bench:
    """One row for each pair of a draft token and a token whose noise is bisected."""

    def __init__(self, target: list[float], draft: list[float]) -> None:
        count = VOCAB * VOCAB
        self.rows = Rows(rows=count, positions=16, vocab=VOCAB, device=torch.device("cpu"))
        sampling = Sampling(temperature=1.0)
        requests = [
            Request(key=f"r/{row}", prompt_ids=(0,), max_new_tokens=8, sampling=sampling)
            for row in range(count)
        ]
        for row, request in enumerate(requests):
            self.rows.admit(row, request, stop_ids=())
        self.rows.controls.set_features(requests)
        self.streams = FixedStreams(count)
        self.rows.streams = self.streams  # type: ignore[assignment]
        self.target_log_probs = torch.tensor(target).log().expand(count, 2, VOCAB)
        self.draft_log_probs = torch.tensor(draft).log().expand(count, 1, VOCAB)
        self.drafts, self.noisy = torch.arange(count) // VOCAB, torch.arange(count) % VOCAB

    def verify(self) -> Verified:
        lengths = torch.ones(len(self.drafts), dtype=torch.int64)
        proposal = Proposal(self.drafts[:, None], lengths, self.draft_log_probs)
        return RejectionRule().verify(self.target_log_probs, proposal, self.rows)

    def probs(self, log_probs: Tensor) -> Tensor:
        """The distribution that the rule makes of its input, [vocab], fp64."""
        return probabilities(log_probs, self.rows.controls)[0, 0].double()

    def acceptance(self) -> Tensor:
        """How probable the rule makes the acceptance of each draft, [vocab]."""
        low, high = torch.zeros_like(self.drafts), torch.full_like(self.drafts, COINS)
        while (low < high).any():
            middle = (low + high) // 2
            # Where the search is over, middle may be COINS: no such coin.
            self.streams.coin = middle.clamp(max=COINS - 1).float() / COINS
            accepted = self.verify().accepted == 1
            low = torch.where(accepted & (low < high), middle + 1, low)
            high = torch.where(accepted, high, middle)
        return (low.double() / COINS).view(VOCAB, VOCAB)[:, 0]

    def replacement(self) -> tuple[Tensor, Tensor]:
        """What is drawn for each rejected draft [drafts, vocab], and which can be rejected."""
        self.streams.coin = torch.full_like(self.streams.coin, (COINS - 1) / COINS)
        self.streams.noise.zero_()
        verified = self.verify()
        rejected, likeliest = verified.accepted == 0, verified.tokens[:, 0]
        low = torch.zeros(len(self.drafts), dtype=torch.float64)
        high = torch.full_like(low, MOST_NOISE)
        for _ in range(40):
            middle = (low + high) / 2
            self.streams.noise = torch.nn.functional.one_hot(self.noisy, VOCAB) * middle[:, None]
            wins = self.verify().tokens[:, 0] == self.noisy
            low, high = torch.where(wins, low, middle), torch.where(wins, middle, high)
        weight = torch.where(self.noisy == likeliest, 1.0, (-low).exp())
        weight = torch.where(low > MOST_NOISE - 1, 0.0, weight).view(VOCAB, VOCAB)
        return weight / weight.sum(dim=1, keepdim=True), rejected.view(VOCAB, VOCAB)[:, 0]


@settings(deadline=None, max_examples=60)
@given(DISTRIBUTION, DISTRIBUTION)
@example([0.5, 0.2, 0.1, 0.1, 0.05, 0.05], [0.1, 0.4, 0.2, 0.1, 0.1, 0.1])
@example([0.6, 0.4, 0, 0, 0, 0], [0, 0, 0.3, 0.3, 0.2, 0.2])
@example([0, 0, 1, 0, 0, 0], [0.2, 0.2, 0.2, 0.2, 0.1, 0.1])
@example([0.2, 0.2, 0.2, 0.2, 0.1, 0.1], [0, 0, 1, 0, 0, 0])
@example([0.3, 0.3, 0.1, 0.1, 0.1, 0.1], [0.3, 0.3, 0.1, 0.1, 0.1, 0.1])
@example([1.0, 1e-40, 0, 0, 0, 0], [1e-40, 1.0, 0, 0, 0, 0])
def test_accepted_and_replaced_together_are_the_targets_distribution(
    target: list[float], draft: list[float]
) -> None:
    bench = Bench(target, draft)
    target_probs, draft_probs = (
        bench.probs(bench.target_log_probs),
        bench.probs(bench.draft_log_probs),
    )
    acceptance = bench.acceptance()
    assert (acceptance[target_probs == 0] == 0).all(), "accepts what the target rules out"
    # Below the smallest normal number, coin times q is too coarse to stay under q for every coin.
    sure = (target_probs >= draft_probs) & (draft_probs >= torch.finfo(torch.float32).tiny)
    assert (acceptance[sure] == 1).all(), "rejects what is at least as likely as drafted"
    replacement, rejected = bench.replacement()
    assert (replacement[rejected][:, target_probs == 0] == 0).all(), "draws what it rules out"
    lost = torch.where(rejected, draft_probs * (1 - acceptance), 0.0)
    output = draft_probs * acceptance + (lost[:, None] * replacement).sum(dim=0)
    torch.testing.assert_close(output, target_probs, rtol=0, atol=2e-6)
