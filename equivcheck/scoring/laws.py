"""From penalised logits to the law that a token is drawn from, written a second time.

`cases.Sampling` defines it: temperature, then top-k, top-p and min-p, each over what the one before
has left. `decoding/transforms.py` is the other implementation; they share no code. Beside the law
stand a slightly wider and a slightly narrower cut, since arithmetic may move the border by a token.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from torch import Tensor

from equivcheck.cases import Sampling

HIDDEN = -1e9
"""Stands for the logarithm of zero: finite, so that differences and multiples stay numbers."""
TOP_P_BAND = 0.002
TOP_K_BAND = 2
MIN_P_BAND = 0.03


@dataclasses.dataclass(frozen=True, kw_only=True)
class Border:
    """Where a cut falls in each row, [rows, 1] each. Logs are of the untruncated law."""

    last: Tensor
    """Log-probability of the last token kept."""
    log_mass: Tensor
    """Of all that is kept."""
    size: Tensor
    """Tokens kept."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Law:
    """Laws of some rows. Logs are natural; of a token that is ruled out, `HIDDEN` or near it."""

    log: Tensor
    """Normalised, [rows, vocab]."""
    probs: Tensor
    """Its exponential."""
    whole: Tensor
    """The untruncated log-law."""
    loose: Border
    """Of the widest cut that arithmetic may make."""
    tight: Border
    """Of the narrowest."""

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


def sampling_law(logits: Tensor, sampling: Sampling) -> Law:
    """The law that a token is drawn from, given penalised logits [rows, vocab].

    Raises:
        ValueError: the sampling is greedy, so that there is one outcome and nothing to test.
    """
    if sampling.greedy:
        raise ValueError("a greedy request has no law to test; score sampled ones")
    scaled = logits.clamp(min=HIDDEN) / sampling.temperature
    whole = scaled.log_softmax(dim=-1).clamp_(min=HIDDEN)
    if not (sampling.top_k or sampling.top_p < 1.0 or sampling.min_p):
        return untruncated(whole)
    ordered = falling(whole)
    exact, loose, tight = (border(ordered, sampling, band=band) for band in (0, 1, -1))
    kept = whole >= exact.last
    if bool((kept.sum(dim=-1, keepdim=True) > exact.size).any()):
        # A tie at the border goes to the smaller token ids.
        ties = whole == exact.last
        room = exact.size - (whole > exact.last).sum(dim=-1, keepdim=True)
        kept &= ~ties | (ties.cumsum(dim=-1) <= room)
    log = torch.where(kept, whole - exact.log_mass, HIDDEN)
    return Law(log=log, probs=log.exp(), whole=whole, loose=loose, tight=tight)


def point_law(tokens: Tensor, *, otherwise: Law) -> Law:
    """All mass on one token a row; where `tokens` [rows] is negative, the other law."""
    known = (tokens >= 0)[:, None]
    point = torch.full_like(otherwise.log, HIDDEN)
    point.scatter_(1, tokens.clamp(min=0)[:, None], 0.0)
    return untruncated(torch.where(known, point, otherwise.log))


def untruncated(log: Tensor) -> Law:
    """A normalised log-law [rows, vocab] in which nothing is cut."""
    zero = torch.zeros_like(log[:, :1])
    everything = Border(last=zero + HIDDEN / 2, log_mass=zero, size=zero + log.shape[1])
    return Law(log=log, probs=log.exp(), whole=log, loose=everything, tight=everything)


def border(ordered: Tensor, sampling: Sampling, *, band: int) -> Border:
    """Where the cut falls in falling log-probabilities [rows, vocab].

    `band` 1 is the widest cut that arithmetic may make, -1 the narrowest, 0 the one asked for.
    """
    probs = ordered.exp()
    inside = torch.ones_like(probs, dtype=torch.bool)
    if sampling.top_k:
        inside[:, max(1, sampling.top_k + band * TOP_K_BAND) :] = False
    upto = (probs * inside).cumsum(dim=-1)
    if sampling.top_p < 1.0:
        before = upto - probs
        inside &= before < (sampling.top_p + band * TOP_P_BAND) * upto[:, -1:]
    inside &= probs >= min(1.0, sampling.min_p * (1.0 - band * MIN_P_BAND)) * probs[:, :1]
    # What is inside is a prefix of the order, and the first token always belongs to it.
    size = inside.sum(dim=-1, keepdim=True).clamp(min=1)
    return Border(
        last=ordered.gather(1, size - 1), log_mass=upto.gather(1, size - 1).log(), size=size
    )


def falling(values: Tensor) -> Tensor:
    """Each row sorted, largest first. On a CPU by numpy, whose sort is vectorised."""
    if values.device.type != "cpu":
        return values.sort(dim=-1, descending=True).values
    return torch.from_numpy(np.sort(values.numpy(), axis=-1)).flip(-1)
