"""The distributions of a rule's stages, slot by slot: of a draft, its acceptance, its replacement.

Token by token (Leviathan et al., arXiv 2211.17192) a draft follows q, is accepted with probability
min(1, p/q), and is replaced by a draw from max(p - q, 0). Block verification (Sun et al., arXiv
2403.10444) decides by drafts that are not in the output, but what it does to those that are has a
distribution, too. With p_i and h_i as in algorithm 2, X^i the first i drafts and t how many are
accepted, P(t >= i | X^i) = p_i (by induction from the last slot), and a prefix that no longer one
beats passes with h_i. So, given X^i and t >= i, with w = p_i, h = h_i and w' = min(1, w p/q):

    the next draft is x with probability         (min(w p(x), q(x)) (1 - h) + q(x) h) / w
    given it, it is accepted with probability    w' / (w' + (1 - w') h)
    if it is not, its replacement follows        max(w p - q, 0), normalised
    if there is none, the token follows          p

Read in that order each is known given everything before, so that the tests of the stages need no
distribution off the output. Token by token w and h are 1. Of certain drafts both rules say the
same: there w'/(w' + (1 - w') h) is p(d).
"""

from __future__ import annotations

import torch
from torch import Tensor

from equivcheck.scoring.carried import CarriedWeights
from equivcheck.scoring.distributions import possible
from equivcheck.scoring.wrong_distributions import DistributionPair


class Staged:
    """The distributions of the stages in some rows.

    Attributes:
        residual: max(w p - q, 0), [rows, vocab], not normalised.
        mass: its sum, fp64, [rows].
    """

    def __init__(self, pair: DistributionPair, weights: CarriedWeights) -> None:
        """Carry the target's distributions by the weights of their rows."""
        self.distributions, self.log_weight = pair, weights.exact
        self.plain = not bool((weights.exact < 0).any())
        self.residual, self.mass = pair.surplus, pair.distance
        if not self.plain:
            self.carried = pair.target.probs * weights.exact.exp().to(pair.surplus)[:, None]
            self.residual = (self.carried - pair.draft.probs).clamp_(min=0)
            self.mass = self.residual.sum(dim=-1).double()
        lost = -torch.expm1(weights.exact)
        self.passes = torch.where(lost > 0, self.mass / (self.mass + lost), 1.0)

    def drafts(self) -> Tensor:
        """The distribution of the draft in each row, [rows, vocab]."""
        draft = self.distributions.draft.probs
        if self.plain:
            return draft
        passes = self.passes.to(draft)[:, None]
        both = torch.minimum(self.carried, draft) * (1.0 - passes) + draft * passes
        return both / self.log_weight.exp().to(draft)[:, None]

    def acceptance(self, *, target: Tensor, draft: Tensor) -> Tensor:
        """Probability that a draft with these ln p and ln q is accepted, [rows]."""
        joint = (self.log_weight + target - draft).clamp(max=0.0).exp()
        joint = torch.where(possible(target), joint, 0.0)
        if self.plain:
            return joint
        rest = joint + (1.0 - joint) * self.passes
        return torch.where(joint > 0, joint / rest, 0.0)
