"""What the drafts accepted before a token carry on: the weight p_i of block verification.

For rules that decide about a block as a whole (`RuleFacts.carries`). The weight of a place is 1 at
the start of a step and min(1, w p/q) behind a draft accepted under w (Sun et al. 2024, arXiv
2403.10444, algorithm 2). It needs the distributions of every place before it in its step, so that
rows of an output have to come in order.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from equivcheck.records.score_table import Stage
from equivcheck.scoring.distributions import Distribution, possible
from equivcheck.scoring.places import Places


class CarriedWeights(NamedTuple):
    """Logarithms of the weights of some rows, fp64, [rows] each, on the device."""

    low: Tensor
    """At least, whatever arithmetic did to p and q."""
    exact: Tensor
    high: Tensor
    known: Tensor
    """Whether a cut, or a draft that q rules out, leaves them to be known."""


class Carried:
    """The weights of all places, found out step by step."""

    def __init__(self, where: Places) -> None:
        """Start every step with 1."""
        self.draft, self.goes_on = where.draft, (where.stage == Stage.ACCEPTED) & ~where.ends
        rows = len(where.token)
        self.logs: NDArray[np.float64] = np.zeros((rows + 1, 3))
        self.known: NDArray[np.bool_] = np.ones(rows + 1, np.bool_)

    def weigh(
        self, first: int, *, target: Distribution, draft: Distribution, slack: Tensor
    ) -> CarriedWeights:
        """The weights of consecutive rows, which are passed on to the rows behind them.

        Args:
            first: of them.
            target: p, [rows, vocab].
            draft: q.
            slack: nats by which arithmetic may have moved a log-probability, [rows].
        """
        rows = slice(first, first + len(slack))
        drafts = torch.from_numpy(np.maximum(self.draft[rows], 0)).to(slack.device)
        own, theirs = target.at(drafts), draft.at(drafts)
        least = target.lowest(drafts, slack=slack) - draft.highest(drafts, slack=slack) - slack
        most = target.highest(drafts, slack=slack) - draft.lowest(drafts, slack=slack) + slack
        moves = torch.stack([least.double(), own - theirs, most.double()], dim=1).cpu().numpy()
        sure = possible(own) & possible(theirs) & ~target.tied & ~draft.tied
        for row, move, is_sure in zip(
            range(first, rows.stop), moves, sure.cpu().tolist(), strict=True
        ):
            if self.goes_on[row]:
                self.logs[row + 1] = np.minimum(self.logs[row] + move, 0.0)
                self.known[row + 1] = self.known[row] and is_sure
        logs = torch.from_numpy(self.logs[rows]).to(slack.device)
        known = torch.from_numpy(self.known[rows]).to(slack.device)
        return CarriedWeights(logs[:, 0], logs[:, 1], logs[:, 2], known)


def unweighed(slack: Tensor) -> CarriedWeights:
    """The weights where nothing is carried: 1."""
    none = torch.zeros_like(slack, dtype=torch.float64)
    return CarriedWeights(none, none, none, torch.ones_like(slack, dtype=torch.bool))
