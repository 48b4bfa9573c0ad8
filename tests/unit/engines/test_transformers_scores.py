"""Scores of an answer keep their digits whatever was added to the logits."""

from __future__ import annotations

import math

import torch

from equivcheck.engines.transformers_steps import score_tokens


def test_a_large_bias_costs_no_mass() -> None:
    logits = torch.full((1, 50), -3.0)
    logits[0, 7] = logits[0, 8] = logits[0, 9] = 2.0**30
    (score,) = score_tokens(logits, [7])
    assert (score.rival, score.logprob) == (8, score.rival_logprob)
    assert abs(score.logprob - math.log(1 / 3)) < 1e-6
