"""Wrong laws at rows where target and draft differ by rounding only."""

from __future__ import annotations

import torch

from equivcheck.scoring.laws import HIDDEN, untruncated
from equivcheck.scoring.wrong_laws import Compared, log_ratios


def one_token_laws(logs: torch.Tensor) -> torch.Tensor:
    """Laws of one token each, [rows, 64], whose logarithms rounding has moved off 0."""
    found = torch.full((len(logs), 64), HIDDEN)
    found[:, 7] = logs
    return found


def test_laws_that_are_equal_but_for_rounding_have_no_wrong_ones() -> None:
    steps = torch.arange(-64, 1) * 2.0**-30
    ours, theirs = torch.cartesian_prod(steps, steps).T
    laws = Compared(untruncated(one_token_laws(ours)), untruncated(one_token_laws(theirs)))
    found = log_ratios(laws, torch.full((len(ours),), 7))
    assert found.isfinite().all()
    assert found.abs().max() < 1e-5
