"""Judge the tabular pair: the distribution of every context, the scores of every token."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats

from benchmarks.tabular import Asked, TabularPair, contexts
from equivcheck.records.score_table import ONE_HOT_DRAFTS, ScoreTable
from equivcheck.scoring.carried import Carried
from equivcheck.scoring.columns import ScoredRows, columns
from equivcheck.scoring.distributions import point_mass, sampling_distribution
from equivcheck.scoring.neighbours import Neighbours
from equivcheck.scoring.places import places
from equivcheck.scoring.table import TableBuilder

SLACK = 1e-3
"""Nats: the tables are exact, so that only fp32 sums differ."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Variation:
    """How far the distributions of all contexts lie from those wanted, by counts."""

    tokens: int
    estimate: float
    """The largest observed total variation distance of a context."""
    bound: float
    """No context's true distance is larger, but with probability at most the level."""
    least: float
    """And one context's is at least this, likewise."""
    p_value: float
    """Of Pearson's chi-square over all contexts."""


def variation(
    counts: NDArray[np.int64], distribution: NDArray[np.float64], *, level: float
) -> Variation:
    """Hold counts [contexts, V] to the distributions [contexts, V].

    In a context with N tokens the distance is within ``sqrt((V ln 2 + ln(C / level)) / 2N)`` of the
    observed one: Hoeffding's inequality for each of the 2^V sets of tokens, and a union over them
    and the C contexts (Weissman et al. 2003). Given its context, a token of a decoder whose draws
    are independent has one distribution, so its first N visits are a sample of fixed size.
    """
    seen = counts.sum(axis=1)
    distance = np.abs(counts / seen[:, None] - distribution).sum(axis=1) / 2
    size = distribution.shape[1] * math.log(2) + math.log(len(distribution) / level)
    slack = np.sqrt(size / (2 * seen))
    expected = distribution * seen[:, None]
    statistic = float(((counts - expected) ** 2 / expected).sum())
    return Variation(
        tokens=int(seen.sum()),
        estimate=float(distance.max()),
        bound=float((distance + slack).max()),
        least=max(0.0, float((distance - slack).max())),
        p_value=float(stats.chi2.sf(statistic, distribution.size - len(distribution))),
    )


def scored(
    pair: TabularPair, asked: Asked, *, one_hot: bool = False, blocks: bool = False
) -> ScoreTable:
    """The scores of outputs that were all drawn under one sampling, without a model.

    Drafts were drawn from the pair's draft distribution, or are certain; each was judged
    by itself, or whole blocks of them were.

    Raises:
        ValueError: the sampling is greedy.
    """
    where = places(asked, Neighbours(), stages=True, one_hot=one_hot)
    rows = contexts(asked)
    sampling = asked[0][0].sampling
    drawn = ScoredRows(
        **{
            name: torch.from_numpy(np.ascontiguousarray(getattr(where, name)))
            for name in ScoredRows._fields
        }
    )
    target = sampling_distribution(pair.target[rows], sampling)
    if one_hot:
        draft = point_mass(torch.from_numpy(where.proposed), otherwise=target)
    else:
        draft = sampling_distribution(pair.draft[rows], sampling)
    slack = torch.full((len(rows),), SLACK)
    weights = Carried(where).weigh(0, target=target, draft=draft, slack=slack) if blocks else None
    found = columns(target=target, draft=draft, drawn=drawn, slack=slack, weights=weights)
    builder = TableBuilder([request.key for request, _ in asked], where)
    builder.fill(0, {name: values.cpu().numpy() for name, values in found.items()})
    return builder.table(draft_distribution=ONE_HOT_DRAFTS if one_hot else "draft model")
