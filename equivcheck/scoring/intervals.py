"""Distributions as intervals: the narrowest and widest that an engine's arithmetic allows."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Self, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from equivcheck.core.cases import Sampling
from equivcheck.scoring.arithmetic import exponential, falling
from equivcheck.scoring.distributions import HIDDEN, Border, Distribution, cut_at, possible
from equivcheck.scoring.rule import LogprobBounds

Numbers: TypeAlias = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bounded:
    """What bounds the distributions of some rows."""

    log: Tensor
    """[rows, vocab]"""
    whole: Tensor
    """Before anything is cut, [rows, vocab]."""
    loose: Border
    tight: Border
    slack: Tensor
    """Nats by which a log-probability may have moved, [rows]."""

    @classmethod
    def of(cls, distribution: Distribution, *, rows: Tensor, slack: Tensor) -> Self:
        """Some rows of a distribution; `slack` is that of all."""
        return cls(
            log=distribution.log[rows],
            whole=distribution.whole[rows],
            loose=border_of(distribution.loose, rows),
            tight=border_of(distribution.tight, rows),
            slack=slack[rows],
        )

    def recut(self, sampling: Sampling) -> Self:
        """With cuts that lie no further apart than the slack puts them.

        A cut at k tokens moves with the values alone, one at a share of the largest by both values'
        slack. One at a mass moves by the slack of all that is summed, and by the sum's own rounding
        in fp32, half a unit in the last place below 1 for each token in it.
        """
        if not cuts(sampling):
            return self
        ordered = falling(self.whole)
        upto = exponential(ordered).cumsum(dim=-1)
        nats = self.slack[:, None]
        exact = cut_at(ordered, upto, sampling, tokens=0, mass=0.0, nats=0.0)
        mass = 2 * nats + exact.size * 2.0**-24
        loose, tight = (
            cut_at(ordered, upto, sampling, tokens=0, mass=sign * mass, nats=sign * 2 * nats)
            for sign in (1, -1)
        )
        # The last token kept is kept for sure where the next one lies too low to take its place.
        following = ordered.gather(1, tight.size.clamp(max=ordered.shape[1] - 1))
        alone = (tight.last - following > 2 * nats) | (tight.size == ordered.shape[1])
        tight = dataclasses.replace(tight, last=tight.last - alone * nats)
        return dataclasses.replace(self, loose=loose, tight=tight)

    def of_tokens(self, tokens: Tensor) -> Numbers:
        """Log-probability of one token a row, at least, exactly and at most, [rows, 3]."""
        whole = self.whole.gather(1, tokens[:, None])
        low, high = self.ends(whole, mass=torch.ones_like(whole, dtype=torch.bool))
        exact = self.log.gather(1, tokens[:, None])
        return as_numbers(torch.cat([low, exact, high], dim=1).clamp(min=HIDDEN))

    def intervals(self, *, mass: NDArray[np.bool_]) -> Iterator[LogprobBounds]:
        """Row by row.

        Args:
            mass: where the mass that a cut leaves matters, [rows]. A draw does not ask for it.
        """
        matters = torch.from_numpy(mass).to(self.whole.device)[:, None]
        low, high = self.ends(self.whole, mass=matters)
        exact = torch.where(possible(self.log), self.log, torch.full_like(self.log, -torch.inf))
        columns = zip(*(as_numbers(each) for each in (low, exact, high)), strict=True)
        for lowest, at, highest in columns:
            yield LogprobBounds(low=lowest, exact=at, high=highest)

    def ends(self, whole: Tensor, *, mass: Tensor) -> tuple[Tensor, Tensor]:
        """The least and the greatest log-probability of tokens by their uncut ones."""
        nats, nothing = self.slack[:, None], torch.full_like(whole, -torch.inf)
        least, most = whole >= self.tight.last + nats, whole >= self.loose.last - nats
        low = torch.where(least, whole - mass * self.loose.log_mass - nats, nothing)
        high = torch.where(most, whole - mass * self.tight.log_mass + nats, nothing)
        return low, high


def cuts(sampling: Sampling) -> bool:
    """Whether a request cuts its distribution."""
    return bool(sampling.top_k or sampling.top_p < 1.0 or sampling.min_p)


def border_of(border: Border, rows: Tensor) -> Border:
    """The border of some rows."""
    return Border(last=border.last[rows], log_mass=border.log_mass[rows], size=border.size[rows])


def as_numbers(values: Tensor) -> Numbers:
    """In fp64, on the host."""
    numbers: Numbers = values.double().cpu().numpy()
    return numbers
