"""From two laws a row to a few columns: bins, masses and randomised transforms of the token.

Runs on the device; only columns leave it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from equivcheck.scores import BINS, PROBABILITY_EDGES, RATIO_EDGES, REJECTED_EDGES
from equivcheck.scoring.laws import Law
from equivcheck.scoring.wrong_laws import Compared

SHARES = len(PROBABILITY_EDGES) + 1


class Binned:
    """The bins of one law: every token's, and what each bin weighs."""

    def __init__(self, weights: Tensor, ratio_bins: Tensor) -> None:
        """Bin a law [rows, vocab], normalised or not at all where a row is all zero."""
        # Two comparisons are cheaper than a search.
        shares = (weights >= PROBABILITY_EDGES[0]).to(ratio_bins.dtype)
        shares += weights >= PROBABILITY_EDGES[1]
        self.bins = ratio_bins * SHARES + shares
        mass = torch.zeros((len(weights), BINS), dtype=weights.dtype, device=weights.device)
        self.mass = mass.scatter_add_(1, self.bins, weights)

    def of(self, tokens: Tensor) -> Tensor:
        """Bin of one token a row, [rows]."""
        return self.bins.gather(1, tokens[:, None])[:, 0]


def ratio_bins(log_ratio: Tensor) -> Tensor:
    """Bin of every ln(q/p), int64: a value on a border belongs to the bin above."""
    edges = torch.tensor(RATIO_EDGES, dtype=log_ratio.dtype, device=log_ratio.device)
    return torch.bucketize(log_ratio, edges, right=True)


def rejected_class(log_probs: Tensor) -> Tensor:
    """Class of a rejected draft's q, [rows]: a value on a border belongs to the class below."""
    edges = torch.tensor(REJECTED_EDGES, dtype=log_probs.dtype, device=log_probs.device)
    return torch.bucketize(log_probs.exp(), edges)


def residual_law(laws: Compared) -> Tensor:
    """max(p - q, 0) normalised, [rows, vocab]; all zero where p = q."""
    total = laws.surplus.sum(dim=-1, keepdim=True)
    return laws.surplus / torch.where(total > 0, total, 1.0)


def transforms(laws: Compared, tokens: Tensor, noise: Tensor) -> Tensor:
    """Randomised probability integral transforms of tokens [rows] under p, fp64, [rows, 3].

    Tokens in order of id, of falling p, of falling q/p; equals by id. Uniform under p (Rosenblatt
    1952). `noise` [rows, 3] is uniform and independent of everything else.
    """
    target: Law = laws.target
    ids = torch.arange(target.log.shape[1], device=tokens.device)
    at = tokens[:, None]
    before = ids < at
    own = target.probs.gather(1, at)[:, 0].double()
    below = [(target.probs * before).sum(dim=-1)]
    for key in (target.log, laws.log_ratio):
        mine = key.gather(1, at)
        ahead = (key > mine) | ((key == mine) & before)
        below.append((target.probs * ahead).sum(dim=-1))
    return (torch.stack(below, dim=1).double() + noise * own[:, None]).clamp(0.0, 1.0)
