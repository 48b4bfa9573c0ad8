"""From two distributions a row to a few columns: its bins, masses and randomised transforms.

Runs on the device; only columns leave it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from equivcheck.records.score_table import BINS, PROBABILITY_EDGES, RATIO_EDGES, REJECTED_EDGES
from equivcheck.scoring.arithmetic import above, bin_of, equal
from equivcheck.scoring.wrong_distributions import DistributionPair

SHARES = len(PROBABILITY_EDGES) + 1


class Binned:
    """The bins of one distribution: every token's, and what each bin weighs."""

    def __init__(self, distribution: Tensor, ratio_bins: Tensor) -> None:
        """Bin a distribution [rows, vocab] by probability and `ratio_bins` (`bins_of_ratio`)."""
        self.bins = (ratio_bins + bin_of(distribution, PROBABILITY_EDGES)).long()
        mass = torch.zeros(
            (len(distribution), BINS), dtype=distribution.dtype, device=distribution.device
        )
        self.mass = mass.scatter_add_(1, self.bins, distribution)

    def of(self, tokens: Tensor) -> Tensor:
        """Bin of one token a row, [rows]."""
        return self.bins.gather(1, tokens[:, None])[:, 0]


def bins_of_ratio(pair: DistributionPair) -> Tensor:
    """First bin of every token's ln(q/p), uint8, [rows, vocab]."""
    return bin_of(pair.log_ratio, RATIO_EDGES) * SHARES


def rejected_class(log_probs: Tensor) -> Tensor:
    """Class of a rejected draft's q, [rows]."""
    return bin_of(log_probs.exp(), REJECTED_EDGES)


def transforms(pair: DistributionPair, tokens: Tensor, noise: Tensor) -> Tensor:
    """Randomised probability integral transforms of tokens [rows] under p, fp64, [rows, 3].

    Tokens in order of id, of falling p, of falling q/p; equals by id. Uniform under p (Rosenblatt
    1952). `noise` [rows, 3] is uniform and independent of everything else.
    """
    probs, at = pair.target.probs, tokens[:, None]
    own = probs.gather(1, at)[:, 0].double()
    upto = probs.cumsum(dim=-1).gather(1, at)[:, 0].double()
    below = [
        upto - own,
        mass_ahead(probs, pair.target.log, tokens),
        mass_ahead(probs, pair.log_ratio, tokens),
    ]
    return (torch.stack(below, dim=1) + noise * own[:, None]).clamp(0.0, 1.0)


def mass_ahead(probs: Tensor, key: Tensor, tokens: Tensor) -> Tensor:
    """Mass of what stands before a token in falling order of a key, equals by id, [rows]."""
    at = tokens[:, None]
    mine = key.gather(1, at)
    ahead = above(key, mine).mul_(probs).sum(dim=-1).double()
    equals = equal(key, mine)
    tied = equals.sum(dim=-1) > 1
    if bool(tied.any()):
        before = torch.arange(key.shape[1], device=key.device) < at[tied]
        ahead[tied] += (equals[tied] * probs[tied] * before).sum(dim=-1).double()
    return ahead
