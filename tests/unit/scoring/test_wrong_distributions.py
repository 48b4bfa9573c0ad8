"""Wrong distributions at rows where target and draft differ by rounding only."""

from __future__ import annotations

import torch

from equivcheck.records.score_table import ALTERNATIVES
from equivcheck.scoring.distributions import HIDDEN, untruncated
from equivcheck.scoring.wrong_distributions import DistributionPair, log_ratios


def one_token_distributions(logs: torch.Tensor) -> torch.Tensor:
    """Laws of one token each, [rows, 64], whose logarithms rounding has moved off 0."""
    found = torch.full((len(logs), 64), HIDDEN)
    found[:, 7] = logs
    return found


def test_distributions_that_are_equal_but_for_rounding_have_no_wrong_ones() -> None:
    steps = torch.arange(-64, 1) * 2.0**-30
    ours, theirs = torch.cartesian_prod(steps, steps).T
    distributions = DistributionPair(
        untruncated(one_token_distributions(ours)), untruncated(one_token_distributions(theirs))
    )
    found = log_ratios(distributions, torch.full((len(ours),), 7))
    assert found.isfinite().all()
    assert found.abs().max() < 1e-5


def test_a_cut_that_drops_one_token_too_many_never_draws_the_last_one() -> None:
    logs = torch.full((4, 64), HIDDEN)
    logs[:, [3, 7, 9]] = torch.tensor([0.5, 0.3, 0.2]).log()
    distribution = untruncated(logs)
    found = log_ratios(DistributionPair(distribution, distribution), torch.tensor([3, 7, 9, 3]))
    column = found[:, ALTERNATIVES.index("cut-one-short")]
    expected = torch.tensor([1 / 0.8, 1 / 0.8, 0.0, 1 / 0.8], dtype=torch.float64).log()
    torch.testing.assert_close(column, expected, rtol=0, atol=1e-6)
