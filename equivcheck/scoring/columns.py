"""The columns of some rows: two distributions and a place each in, a few numbers each out."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from equivcheck.records.score_table import BINS, Stage, Support, Violation
from equivcheck.scoring.carried import CarriedWeights, unweighed
from equivcheck.scoring.distributions import Distribution, possible
from equivcheck.scoring.reduction import Binned, bins_of_ratio, rejected_class, transforms
from equivcheck.scoring.stages import Staged
from equivcheck.scoring.trace import NOTHING
from equivcheck.scoring.wrong_distributions import DistributionPair, log_ratios


class ScoredRows(NamedTuple):
    """Rows to score: [rows] each, on the device; `NOTHING` where there is no token."""

    token: Tensor
    stage: Tensor
    draft: Tensor
    noise: Tensor
    """[rows, 3]."""
    earlier: Tensor
    """[rows, some]: tokens whose mass is asked for."""
    twin_token: Tensor


def columns(
    *,
    target: Distribution,
    draft: Distribution,
    drawn: ScoredRows,
    slack: Tensor,
    weights: CarriedWeights | None = None,
) -> dict[str, Tensor]:
    """Columns of `ScoreTable` by name, without those that need no distribution.

    Args:
        target: p, [rows, vocab].
        draft: q.
        drawn: what was drawn from them.
        slack: nats by which the engine's arithmetic may have moved a log-probability, [rows].
        weights: what accepted drafts carry on; None: each draft is judged by itself.
    """
    pair = DistributionPair(target, draft)
    ratio_bins = bins_of_ratio(pair)
    token = drawn.token
    own = target.at(token)
    near = possible(target.highest(token, slack=slack))
    tied = target.tied & near
    inside = possible(own) & ~tied
    outputs = Binned(target.probs, ratio_bins)
    pits = transforms(pair, token, drawn.noise)
    found = {
        "support": torch.where(
            tied,
            Support.TIED,
            torch.where(inside, Support.INSIDE, torch.where(near, Support.BORDER, Support.OUTSIDE)),
        ),
        "log_ratio": torch.where(inside[:, None], log_ratios(pair, token), 0.0),
        "bin": outputs.of(token),
        "bin_mass": outputs.mass,
        "pit_vocabulary": pits[:, 0],
        "pit_rank": pits[:, 1],
        "pit_ratio": pits[:, 2],
        "surprisal": torch.where(inside, -own, torch.inf),
        "entropy": -(target.probs * target.log).sum(dim=-1),
        "distance": pair.distance,
        "crossing_mass": mass_of(target, drawn.earlier),
        "twin_prob": mass_of(target, drawn.twin_token[:, None]),
    }
    weights = unweighed(slack) if weights is None else weights
    return found | stage_columns(pair, drawn, ratio_bins, slack=slack, weights=weights)


def mass_of(distribution: Distribution, tokens: Tensor) -> Tensor:
    """Probability of a set of tokens [rows, some], `NOTHING` left out."""
    known = tokens != NOTHING
    return (distribution.probs.gather(1, tokens.clamp(min=0)) * known).sum(dim=-1)


def stage_columns(
    pair: DistributionPair,
    drawn: ScoredRows,
    ratio_bins: Tensor,
    *,
    slack: Tensor,
    weights: CarriedWeights,
) -> dict[str, Tensor]:
    """The columns about the rule; zero where its stage says nothing."""
    stage = drawn.stage.clone()
    tried = (stage == Stage.ACCEPTED) | (stage == Stage.RECOVERED)
    drafts = drawn.draft.clamp(min=0)
    p, q = pair.target.at(drafts), pair.draft.at(drafts)
    cut = tried & ~possible(q)
    never = cut & ~possible(pair.draft.highest(drafts, slack=slack))
    # A draft that only a slightly other cut rules out tells nothing, nor does one at a tie.
    tied = pair.target.tied | pair.draft.tied
    stage[(cut | tied | (tried & ~weights.known)) & ~never] = Stage.UNKNOWN
    tried &= stage != Stage.UNKNOWN
    recovered = tried & (stage == Stage.RECOVERED)
    # A token without residual mass is a violation, or lies too near to one to tell.
    staged = Staged(pair, weights)
    placed = recovered & (staged.residual.gather(1, drawn.token[:, None])[:, 0] > 0)
    odds = staged.acceptance(target=p, draft=q)
    residual = staged.residual / staged.mass[:, None].to(staged.residual.dtype)
    draft_bin, draft_mass = binned(staged.drafts(), ratio_bins, drafts, rows=tried)
    recovered_bin, recovered_mass = binned(residual, ratio_bins, drawn.token, rows=placed)
    return {
        "stage": stage,
        "draft_bin": draft_bin,
        "draft_mass": draft_mass,
        "accept_prob": torch.where(tried, odds, 0.0),
        "recovered_bin": recovered_bin,
        "recovered_mass": recovered_mass,
        "rejected_class": torch.where(recovered, rejected_class(q), 0),
        "violation": violations(
            pair, drawn, never=never, recovered=recovered, slack=slack, weights=weights
        ),
    }


def binned(
    distribution: Tensor, ratio_bins: Tensor, tokens: Tensor, *, rows: Tensor
) -> tuple[Tensor, Tensor]:
    """Bin of the token [rows] and mass of all bins [rows, BINS] in some rows, 0 in the others."""
    bins = torch.zeros_like(tokens)
    mass = torch.zeros(
        (len(distribution), BINS), dtype=distribution.dtype, device=distribution.device
    )
    if bool(rows.any()):
        found = Binned(distribution[rows], ratio_bins[rows])
        bins[rows], mass[rows] = found.of(tokens[rows]), found.mass
    return bins, mass


def violations(
    pair: DistributionPair,
    drawn: ScoredRows,
    *,
    never: Tensor,
    recovered: Tensor,
    slack: Tensor,
    weights: CarriedWeights,
) -> Tensor:
    """`Violation` of each row: only what no arithmetic within `slack` can excuse."""
    target, draft = pair.target, pair.draft
    rejected, taken = drawn.draft.clamp(min=0), drawn.token
    surest = weights.low + target.lowest(rejected, slack=slack)
    sure = surest >= draft.highest(rejected, slack=slack) + slack
    likeliest = weights.high + target.highest(taken, slack=slack)
    stolen = likeliest <= draft.lowest(taken, slack=slack) - slack
    found = torch.where(recovered & stolen, Violation.RECOVERED_IMPOSSIBLE, Violation.NONE)
    found[recovered & sure] = Violation.REJECTED_SURE
    found[never] = Violation.DRAFTED_IMPOSSIBLE
    return found
