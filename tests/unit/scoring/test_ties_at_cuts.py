"""Where a cut parts tokens that tie exactly, which of them stay is a convention."""

from __future__ import annotations

import pytest
import torch

from equivcheck.core.cases import Sampling
from equivcheck.core.ties import TYING_BIAS, rounding_bias, ties_at_cut
from equivcheck.records.score_table import Stage, Support
from equivcheck.scoring.columns import ScoredRows, columns
from equivcheck.scoring.distributions import sampling_distribution
from equivcheck.scoring.trace import NOTHING

TWO = Sampling(temperature=1.0, top_k=2)


def support(logits: list[float], token: int, sampling: Sampling = TWO) -> tuple[int, int, float]:
    """Support, stage and ratio to a wrong distribution of a token drawn under one row of logits."""
    distribution = sampling_distribution(torch.tensor([logits]), sampling)
    drawn = ScoredRows(
        token=torch.tensor([token]),
        draft=torch.tensor([token]),
        stage=torch.tensor([int(Stage.ACCEPTED)]),
        noise=torch.full((1, 3), 0.5),
        earlier=torch.full((1, 1), NOTHING),
        twin_token=torch.tensor([NOTHING]),
    )
    found = columns(
        target=distribution, draft=distribution, drawn=drawn, slack=torch.tensor([1e-3])
    )
    return int(found["support"][0]), int(found["stage"][0]), float(found["log_ratio"].abs().sum())


@pytest.mark.parametrize("token", [0, 1, 2])
def test_no_tied_token_is_judged(token: int) -> None:
    code, stage, ratio = support([3.0, 3.0, 3.0, -9.0], token)
    assert (code, stage, ratio) == (Support.TIED, Stage.UNKNOWN, 0.0)


def test_a_token_far_behind_the_tie_is_still_impossible() -> None:
    assert support([3.0, 3.0, 3.0, -9.0, -9.5, -10.0], 5)[0] == Support.OUTSIDE


@pytest.mark.parametrize("sampling", [TWO, Sampling(temperature=1.0, top_p=0.9)])
def test_a_tie_inside_the_cut_changes_nothing(sampling: Sampling) -> None:
    assert support([3.0, 3.0, -9.0], 1, sampling)[:2] == (Support.INSIDE, Stage.ACCEPTED)


def test_a_nucleus_may_part_a_tie_too() -> None:
    assert support([3.0, 3.0, 3.0], 2, Sampling(temperature=1.0, top_p=0.5))[0] == Support.TIED


@pytest.mark.parametrize(
    ("biases", "top_k", "ties"),
    [
        ((TYING_BIAS,) * 3, 2, True),
        ((TYING_BIAS,) * 2, 2, False),
        ((TYING_BIAS, TYING_BIAS, 2 * TYING_BIAS), 2, False),
        ((5.0,) * 3, 2, False),
        ((TYING_BIAS,) * 3, 0, False),
        ((), 2, False),
    ],
)
def test_requests_that_bring_a_tie_about(biases: tuple[float, ...], top_k: int, ties: bool) -> None:
    sampling = Sampling(temperature=1.0, top_k=top_k, logit_bias=dict(enumerate(biases)))
    assert ties_at_cut(sampling) is ties


@pytest.mark.parametrize("temperature", [0.7, 1.0, 100.0])
def test_tokens_of_one_huge_bias_share_the_distribution(temperature: float) -> None:
    logits = torch.full((1, 5), -3.0)
    logits[0, :3] = TYING_BIAS
    distribution = sampling_distribution(logits, Sampling(temperature=temperature))
    torch.testing.assert_close(distribution.probs[0, :3], torch.full((3,), 1 / 3))


def test_a_bias_rounds_what_it_is_added_to_unless_it_drowns_it() -> None:
    assert rounding_bias(Sampling()) == 0.0
    assert rounding_bias(Sampling(logit_bias={1: -50.0, 2: 20.0, 3: TYING_BIAS})) == 50.0
