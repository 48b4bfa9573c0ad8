"""Rows of which a server tells only the best tokens: which places they judge, and how.

What is told of a row depends on what stands before the token alone. So it does whether a cut lies
within what is told; and where nothing is cut, a token among those told follows the distribution
within them. In both cases the tests hold as they stand. Everything else is left out.
"""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor

from equivcheck.core.cases import Sampling
from equivcheck.core.generation import Request
from equivcheck.records.score_table import Stage, Support, Violation
from equivcheck.scoring.arithmetic import exponential, falling
from equivcheck.scoring.distributions import TOP_K_BAND, Distribution, cut_at, possible
from equivcheck.scoring.intervals import cuts
from equivcheck.scoring.penalties import changes_logits


@dataclasses.dataclass(frozen=True, kw_only=True)
class UnreportedMass:
    """What goes with rows of which not everything need be told; [rows] each."""

    least: Tensor
    """The lowest value that is told; what is not told lies no higher. Minus infinity where all
    is."""
    rest: Tensor
    """Probability of what is not told, at temperature 1 and before penalties."""
    magnitude: Tensor
    """Largest absolute value of the logits, as far as it can be known."""
    untold: int
    """Tokens that are not told."""

    def rows(self, some: slice) -> UnreportedMass:
        """Those of some rows."""
        return dataclasses.replace(
            self,
            least=self.least[some],
            rest=self.rest[some],
            magnitude=self.magnitude[some],
        )


def least_rest(told: UnreportedMass, request: Request) -> Tensor | None:
    """The least log-weight of what is not told, for `sampling_distribution`, [rows, 1].

    Known at temperature 1 where nothing changes logits; otherwise at least 0.
    """
    sampling = request.sampling
    if not told.untold or sampling.top_k or sampling.top_p >= 1.0 or not exactly_known(request):
        return None
    known = (1.0 - told.rest).clamp(min=torch.finfo(told.rest.dtype).tiny)
    return (told.rest / known)[:, None]


def exactly_known(request: Request) -> bool:
    """Whether the weight of what is not told is that at temperature 1."""
    return request.sampling.temperature == 1.0 and not changes_logits(request)


def judged(
    logits: Tensor,
    distribution: Distribution,
    told: UnreportedMass,
    *,
    request: Request,
    token: Tensor,
    slack: Tensor,
) -> Tensor:
    """Which rows can be judged, [rows].

    Args:
        logits: penalised, minus infinity where they are not told, [rows, vocab].
        distribution: made of them.
        told: what is known of the rest.
        request: with temperature, cuts and penalties.
        token: that was drawn, [rows].
        slack: nats by which arithmetic may have moved a log-probability, [rows].
    """
    sampling = request.sampling
    banned = torch.tensor(sampling.banned_tokens, dtype=token.dtype, device=token.device)
    sure = torch.isin(token, banned)
    if not told.untold:
        return torch.ones_like(sure)
    if not cuts(sampling):
        return sure | possible(distribution.whole.gather(1, token[:, None])[:, 0])
    norm = (logits / sampling.temperature).logsumexp(dim=-1)
    highest = (told.least + lift(request)) / sampling.temperature - norm
    closed = distribution.loose.last[:, 0] - slack > highest
    if sampling.top_k:
        # A cut at a mass is one of what the first cut has left, so that all of it has to be told.
        last = min(sampling.top_k + TOP_K_BAND, distribution.whole.shape[1])
        closed &= distribution.whole.topk(last, dim=-1).values[:, -1] - slack > highest
    if sampling.top_p < 1.0 and not sampling.top_k and not exactly_known(request):
        closed &= same_cut(distribution, most_rest(told, highest, norm, request), sampling)
    return sure | closed


def lift(request: Request) -> float:
    """Nats by which penalties and biases can raise a token that is not told."""
    sampling = request.sampling
    bias = max((0.0, *sampling.logit_bias.values()))
    presence = max(0.0, -sampling.presence_penalty)
    frequency = max(0.0, -sampling.frequency_penalty) * request.max_new_tokens
    return bias + presence + frequency


def most_rest(told: UnreportedMass, highest: Tensor, norm: Tensor, request: Request) -> Tensor:
    """The most that the rest weighs over what is told, [rows].

    No token of it weighs more than `highest`, a logarithm over what is told. At a temperature of 1
    or less its weights are the probabilities to a power of 1 or more, so that they add up to no
    more than what their sum makes at the highest of them.
    """
    many = told.untold * highest.exp()
    power = 1.0 / request.sampling.temperature
    if power < 1.0 or lift(request):
        return many
    summed = told.rest * (told.least * (power - 1.0) - norm).exp()
    return torch.minimum(many, summed)


def same_cut(distribution: Distribution, most: Tensor, sampling: Sampling) -> Tensor:
    """Whether a cut at a mass keeps as many tokens if the rest weighs as much as it can, [rows]."""
    ordered = falling(distribution.whole)
    upto = exponential(ordered).cumsum(dim=-1)
    beyond = (most[:, None] * sampling.top_p).to(ordered)
    least, greatest = (
        cut_at(ordered, upto, sampling, tokens=0, mass=mass, nats=0.0) for mass in (0.0, beyond)
    )
    return (least.size == greatest.size)[:, 0]


def blanked(columns: dict[str, Tensor], kept: Tensor) -> dict[str, Tensor]:
    """Columns of rows in which only some are judged; the others count for and against nothing."""
    if bool(kept.all()):
        return columns
    found = dict(columns)
    neutral = {
        "support": Support.UNKNOWN,
        "stage": Stage.UNKNOWN,
        "violation": Violation.NONE,
        "surprisal": math.inf,
    }
    for name, value in neutral.items():
        found[name] = torch.where(kept, found[name], torch.full_like(found[name], value))
    found["log_ratio"] = torch.where(kept[:, None], found["log_ratio"], 0.0)
    return found
