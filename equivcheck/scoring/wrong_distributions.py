"""The library of wrong distributions: what each would have given the emitted token, in closed form.

Each is what a known fault of speculative decoding makes of target distribution p and draft
distribution q. None is materialised: at one token each needs at most a sum over the vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from equivcheck.records.score_table import ALTERNATIVES
from equivcheck.scoring.arithmetic import sum_exp
from equivcheck.scoring.distributions import Distribution, possible
from equivcheck.statistics.alternatives import Alternative, parse_all

LIBRARY = parse_all(ALTERNATIVES)
CLIP = 1.0
"""Nats of ln(q/p) beyond which a tilt grows no further."""


class DistributionPair:
    """Target and draft side by side, with what several columns need of both.

    Attributes:
        log_ratio: ln(q/p), [rows, vocab]; far beyond any real value where one of them is zero.
        surplus: max(p - q, 0), [rows, vocab]: the residual, not normalised.
        distance: its sum, the total variation distance, fp64, [rows].
        slopes: ln(q/p) within `CLIP` of zero, [rows, vocab].
    """

    def __init__(self, target: Distribution, draft: Distribution) -> None:
        """Compare distributions of the same rows."""
        self.target, self.draft = target, draft
        self.log_ratio = draft.log - target.log
        self.surplus = (target.probs - draft.probs).clamp_(min=0)
        self.distance = self.surplus.sum(dim=-1).double()
        self.slopes = self.log_ratio.clamp(-CLIP, CLIP)


def log_ratios(pair: DistributionPair, tokens: Tensor) -> Tensor:
    """ln r_k(x) - ln p(x) of the library, fp64, [rows, K]; -inf where r_k rules x out.

    Only rows whose token has p(x) > 0 mean anything.
    """
    return torch.stack(list(_columns(pair, tokens)), dim=1)


def _columns(pair: DistributionPair, tokens: Tensor) -> Iterator[Tensor]:
    own, theirs = pair.target.at(tokens), pair.draft.at(tokens)
    odds = torch.where(possible(theirs), (theirs - own).exp(), 0.0)
    # Of the surplus at x, relative to p(x); where p = q the residual has no weight. p(x) times it
    # is a probability, 1 at most: where p and q differ by rounding only, it would be anything.
    residual = (1.0 - odds).clamp(min=0) / pair.distance.clamp(min=torch.finfo(odds.dtype).tiny)
    residual = torch.minimum(residual, (-own).exp())
    for wrong in LIBRARY:
        if wrong.kind == "cut-one-short":
            yield _without_last(pair.target, tokens)
        else:
            yield _log_ratio(wrong, pair, own=own, odds=odds, residual=residual)


def _without_last(distribution: Distribution, tokens: Tensor) -> Tensor:
    """A cut that drops one token too many: p without its least likely token, normalised, over p.

    Where p leaves one token only, there is no such distribution, and p stands in for it.
    """
    kept = possible(distribution.log)
    mass, last = torch.where(kept, distribution.probs, 2.0).min(dim=-1)
    rest = (1.0 - mass.double()).clamp(min=torch.finfo(mass.dtype).tiny)
    ratio = torch.where(last == tokens, -torch.inf, -rest.log())
    return torch.where(kept.sum(dim=-1) > 1, ratio, 0.0)


def _log_ratio(
    wrong: Alternative, pair: DistributionPair, *, own: Tensor, odds: Tensor, residual: Tensor
) -> Tensor:
    """One distribution. `own` is ln p(x), `odds` q(x)/p(x), `residual` the residual distribution
    over p, [rows]."""
    value = wrong.value if wrong.value is not None else 0.0
    match wrong.kind:
        case "leak":  # A share of the output follows the draft: (1 - e) p + e q.
            return (1.0 - value + value * odds).log()
        case "lenience":  # Drafts are accepted with min(1, p / (l q)).
            accepted = torch.minimum(pair.draft.probs, pair.target.probs * (1.0 / value))
            rest = (1.0 - accepted.sum(dim=-1).double()).clamp(min=0)
            return (odds.clamp(max=1.0 / value) + rest * residual).log()
        case "recover-from-target":  # A rejected draft is replaced by a draw from p.
            return (odds.clamp(max=1.0) + pair.distance).log()
        case "temperature":  # p^(1/t), normalised.
            power = 1.0 / value
            total = sum_exp(pair.target.inner * power)
            return (power - 1.0) * own - total.log()
        case "tilt":  # p exp(s clip(ln q/p)), normalised.
            total = (pair.slopes * value).exp_().mul_(pair.target.probs).sum(dim=-1).double()
            return value * odds.log().clamp(-CLIP, CLIP) - total.log()
    raise AssertionError(f"no distribution for the alternative {wrong.name!r}")
