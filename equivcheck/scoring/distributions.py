"""From penalised logits to the distribution that a token is drawn from, written a second time.

`cases.Sampling` defines it: temperature, then top-k, top-p and min-p, each over what the one before
has left. `decoding/transforms.py` is the other implementation; they share no code. Beside the
distribution stand a slightly wider and a slightly narrower cut, since arithmetic may move the
border by a token.
"""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor

from equivcheck.core.cases import Sampling
from equivcheck.scoring.arithmetic import above, at_least, equal, exponential, falling

HIDDEN = -1e9
"""Stands for the logarithm of zero: finite, so that differences and multiples stay numbers."""
TOP_P_BAND = 0.002
TOP_K_BAND = 2
MIN_P_BAND = 0.03


@dataclasses.dataclass(frozen=True, kw_only=True)
class Border:
    """Where a cut falls in each row, [rows, 1] each. Logs are of the untruncated distribution."""

    last: Tensor
    """Log-probability of the last token kept."""
    log_mass: Tensor
    """Log mass of all that is kept."""
    size: Tensor
    """Tokens kept."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Distribution:
    """Distributions of some rows. Logs are natural, and about `HIDDEN` for a token ruled out."""

    log: Tensor
    """Normalised, [rows, vocab]."""
    probs: Tensor
    """Its exponential."""
    inner: Tensor
    """`log` in another order and without most of what is ruled out, [rows, some]."""
    whole: Tensor
    """The untruncated log-probabilities."""
    loose: Border
    """Border of the widest cut that arithmetic may make."""
    tight: Border
    """Border of the narrowest."""
    tied: Tensor
    """Whether the cut parts tokens that tie exactly, [rows]."""

    def at(self, tokens: Tensor) -> Tensor:
        """Log-probability of one token a row, [rows] to [rows], fp64."""
        return self.log.gather(1, tokens[:, None])[:, 0].double()

    def highest(self, tokens: Tensor, *, slack: Tensor) -> Tensor:
        """The same at most, whatever arithmetic did at the border; `slack` [rows] in nats."""
        whole = self.whole.gather(1, tokens[:, None])
        kept = whole >= self.loose.last - slack[:, None]
        return torch.where(kept, whole - self.tight.log_mass, HIDDEN)[:, 0]

    def lowest(self, tokens: Tensor, *, slack: Tensor) -> Tensor:
        """The same at least."""
        whole = self.whole.gather(1, tokens[:, None])
        kept = whole >= self.tight.last + slack[:, None]
        return torch.where(kept, whole - self.loose.log_mass, HIDDEN)[:, 0]


def possible(logs: Tensor) -> Tensor:
    """Which of these logarithms belong to tokens that are not ruled out."""
    return logs > HIDDEN / 2


def sampling_distribution(
    logits: Tensor, sampling: Sampling, *, rest: Tensor | None = None
) -> Distribution:
    """The distribution that a token is drawn from, given penalised logits [rows, vocab].

    Args:
        logits: minus infinity where they are not told.
        sampling: temperature and cuts.
        rest: probability of what is not told, over that of what is, [rows, 1]; None: nothing. It
            counts for where a cut at a mass falls, and only there.

    Raises:
        ValueError: the sampling is greedy, so that there is one outcome and nothing to test.
    """
    if sampling.greedy:
        raise ValueError("a greedy request has no distribution to test; score sampled ones")
    # Before the temperature: quotients of large numbers are rounded by more than their difference.
    centred = logits - logits.amax(dim=-1, keepdim=True)
    whole = (centred / sampling.temperature).log_softmax(dim=-1).clamp_(min=HIDDEN)
    if not (sampling.top_k or sampling.top_p < 1.0 or sampling.min_p):
        return untruncated(whole)
    ordered = falling(whole)
    upto = exponential(ordered).cumsum(dim=-1)
    beyond = 0.0 if rest is None else rest.to(whole) * sampling.top_p
    exact, loose, tight = (
        border(ordered, upto, sampling, band=band, beyond=beyond) for band in (0, 1, -1)
    )
    kept = at_least(whole, exact.last)
    tied = kept.sum(dim=-1, keepdim=True) > exact.size
    if bool(tied.any()):
        # A tie at the border goes to the smaller token ids.
        ties = equal(whole, exact.last)
        room = exact.size - above(whole, exact.last).sum(dim=-1, keepdim=True)
        kept -= ties * (ties.cumsum(dim=-1) > room)
    log = (kept - 1.0).mul_(-HIDDEN).add_(whole).sub_(exact.log_mass)
    inner = ordered[:, : int(exact.size.max())] - exact.log_mass
    inner[torch.arange(inner.shape[1], device=inner.device) >= exact.size] = HIDDEN
    return Distribution(
        log=log,
        probs=exponential(log),
        inner=inner,
        whole=whole,
        loose=loose,
        tight=tight,
        tied=tied[:, 0],
    )


def point_mass(tokens: Tensor, *, otherwise: Distribution) -> Distribution:
    """All mass on one token a row; where `tokens` [rows] is negative, the other distribution."""
    known = tokens >= 0
    log = otherwise.log.clone()
    log[known] = HIDDEN
    log[known, tokens[known]] = 0.0
    return untruncated(log)


def untruncated(log: Tensor) -> Distribution:
    """Normalised log-probabilities [rows, vocab] in which nothing is cut."""
    zero = torch.zeros_like(log[:, :1])
    everything = Border(last=zero + HIDDEN / 2, log_mass=zero, size=zero.long() + log.shape[1])
    return Distribution(
        log=log,
        probs=exponential(log),
        inner=log,
        whole=log,
        loose=everything,
        tight=everything,
        tied=torch.zeros(len(log), dtype=torch.bool, device=log.device),
    )


def border(
    ordered: Tensor, upto: Tensor, sampling: Sampling, *, band: int, beyond: float | Tensor = 0.0
) -> Border:
    """Where the cut falls.

    Args:
        ordered: falling log-probabilities, [rows, vocab].
        upto: their probabilities, summed.
        sampling: says what is cut.
        band: 1 is the widest cut that arithmetic may make, -1 the narrowest, 0 the one asked for.
        beyond: added to top-p for what is not among `ordered`, [rows, 1] or one for all.
    """
    return cut_at(
        ordered,
        upto,
        sampling,
        tokens=band * TOP_K_BAND,
        mass=band * TOP_P_BAND + beyond,
        nats=-math.log1p(-band * MIN_P_BAND),
    )


def cut_at(
    ordered: Tensor,
    upto: Tensor,
    sampling: Sampling,
    *,
    tokens: int,
    mass: float | Tensor,
    nats: float | Tensor,
) -> Border:
    """Where the cut falls if each of its measures is moved.

    Args:
        ordered: falling log-probabilities, [rows, vocab].
        upto: their probabilities, summed.
        sampling: says what is cut.
        tokens: added to top-k.
        mass: added to top-p, [rows, 1] or one for all.
        nats: that a token may lie lower than min-p asks for, likewise.
    """
    vocab = ordered.shape[1]
    size = torch.full_like(ordered[:, :1], vocab, dtype=torch.int64)
    if sampling.top_k:
        size.clamp_(max=max(1, sampling.top_k + tokens))
    if sampling.top_p < 1.0:
        # A token stays while the mass before it falls short of what is asked for.
        reach = (sampling.top_p + mass) * upto.gather(1, size - 1)
        size = torch.minimum(size, torch.searchsorted(upto, reach) + 1)
    if sampling.min_p:
        share = torch.as_tensor(math.log(sampling.min_p) - nats).to(ordered)
        least = ordered[:, :1] + share.clamp(max=0.0)
        size = torch.minimum(size, torch.searchsorted(-ordered, -least, right=True))
    return Border(
        last=ordered.gather(1, size - 1), log_mass=upto.gather(1, size - 1).log(), size=size
    )
