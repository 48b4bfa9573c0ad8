"""What leaves the device after a step: one small packed tensor, one copy.

Floats travel as their bits inside int64, so that tokens, counters and scores share one transfer.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from equivcheck.core.generation import TokenScore
from equivcheck.decoding.transforms import HIDDEN, most_likely
from equivcheck.decoding.verification import Proposal, Verified

HEAD = 5
"""Per row: drafted, accepted, rejected draft token or -1, the drafter's forecast, and the logarithm
of what the last token was drawn by, which is NaN where the rule weighs none."""
FIELDS = 7
"""Per slot: token, log-probability, rival, rival's log-probability, logits fingerprint, ln q of the
draft in it, which is NaN where the rule uses no q, and the draft or -1."""


class RowOutcome(NamedTuple):
    """One row's part of a step."""

    drafted: int
    accepted: int
    rejected: int | None
    """The draft token that was rejected, if one was; drafts behind it were not judged."""
    tokens: list[int]
    """accepted + 1 of them."""
    scores: list[TokenScore]
    digests: list[int]
    draft_logprobs: tuple[float, ...] | None = None
    """As in `Step`."""
    residual_log_weight: float | None = None
    """As in `Step`."""
    forecast: int = 0
    """What the drafter says of the next step; 0: nothing."""
    drafts: tuple[int, ...] = ()
    """All that were put to the target, those behind a rejected one too."""


def fingerprint_weights(vocab: int, device: torch.device) -> Tensor:
    """Odd 64-bit multipliers, one a vocabulary entry, from a fixed linear congruence."""
    index = torch.arange(1, vocab + 1, dtype=torch.int64, device=device)
    return (index * 6364136223846793005 + 1442695040888963407) | 1


def fingerprint(logits: Tensor, weights: Tensor) -> Tensor:
    """64-bit fingerprint of each fp32 row [..., vocab]: equal bits give equal fingerprints.

    An integer sum, so it does not depend on the order of summation. One differing logit always
    changes it, since the multipliers are odd.
    """
    return logits.view(torch.int32).long().mul_(weights).sum(dim=-1)


class Scores(NamedTuple):
    """What is told of tokens and of the logits that they were drawn by, each [...]."""

    logprob: Tensor
    rival: Tensor
    """The most likely of the other tokens."""
    rival_logprob: Tensor
    fingerprint: Tensor


def scores_of(
    tokens: Tensor, *, logits: Tensor, penalised: Tensor, weights: Tensor, only: Tensor | None
) -> Scores:
    """Score `tokens` [rows, slots] by `penalised` logits; fingerprint `logits` as they were.

    Args:
        tokens: int64.
        logits: fp32, [rows, slots, vocab].
        penalised: the same behind penalties and biases.
        weights: of fingerprints, [vocab].
        only: bool, [rows, slots]; all other slots are 0, and take no time. None: all of them.
    """
    if only is not None:
        kept = logits[only]
        changed = kept if penalised is logits else penalised[only]
        of = scores_of(tokens[only], logits=kept, penalised=changed, weights=weights, only=None)
        return Scores(*(each.new_zeros(only.shape).masked_scatter_(only, each) for each in of))
    tokens = tokens[..., None]
    # Under a large bias the sum of all would lose the digits that matter.
    centred = penalised - penalised.amax(dim=-1, keepdim=True)
    total = centred.exp().sum(dim=-1).log()
    logprob = centred.gather(-1, tokens)[..., 0] - total
    others = centred.scatter_(-1, tokens, HIDDEN)
    rival = most_likely(others)
    rival_logprob = others.gather(-1, rival[..., None])[..., 0] - total
    return Scores(logprob, rival, rival_logprob, fingerprint(logits, weights))


def pack(
    verified: Verified, proposal: Proposal, *, scores: Scores, forecast: Tensor | None = None
) -> Tensor:
    """Pack a step's results, int64, [rows, HEAD + FIELDS * slots].

    Args:
        verified: tokens [rows, slots] and accepted [rows].
        proposal: what was drafted, gamma = slots - 1.
        scores: of the tokens, each [rows, slots].
        forecast: the drafter's, [rows].
    """
    columns = (
        verified.tokens,
        bits(scores.logprob),
        scores.rival,
        bits(scores.rival_logprob),
        scores.fingerprint,
        bits(told(verified)),
        drafts := torch.nn.functional.pad(proposal.tokens, (0, 1), value=-1),
    )
    drafted, accepted = proposal.lengths, verified.accepted
    next_draft = drafts.gather(1, accepted[:, None])[:, 0]
    rejected = torch.where(accepted < drafted, next_draft, -1)
    if forecast is None:
        forecast = torch.zeros_like(drafted)
    weight = bits(log_weight(verified))
    head = torch.stack([drafted, accepted, rejected, forecast, weight], dim=1)
    return torch.cat([head, torch.stack(columns, dim=-1).flatten(1)], dim=1)


def told(verified: Verified) -> Tensor:
    """ln q of the draft in each slot, fp32, [rows, slots]; NaN in the last, and where none is."""
    if verified.draft_probs is None:
        return torch.full(verified.tokens.shape, math.nan, device=verified.tokens.device)
    return torch.nn.functional.pad(verified.draft_probs.log(), (0, 1), value=math.nan)


def log_weight(verified: Verified) -> Tensor:
    """Logarithm of what each row's last token was drawn by, fp32, [rows]; NaN: not weighed."""
    if verified.closing_weight is None:
        return torch.full(verified.accepted.shape, math.nan, device=verified.accepted.device)
    return verified.closing_weight.log()


def bits(values: Tensor) -> Tensor:
    """fp32 values as int64."""
    return values.contiguous().view(torch.int32).long()


def unpack(packed: Tensor) -> list[RowOutcome]:
    """Read a packed tensor back, on the host."""
    return [unpack_row(row) for row in packed.tolist()]


def unpack_row(row: list[int]) -> RowOutcome:
    """Read one row."""
    drafted, accepted, rejected, forecast, weight = row[:HEAD]
    slots = [row[HEAD + FIELDS * slot :][:FIELDS] for slot in range(accepted + 1)]
    words = [[slot[1], slot[3], slot[5]] for slot in slots]
    floats = torch.tensor([*words, [weight] * 3], dtype=torch.int32)
    *numbers, (closing, *_) = floats.view(torch.float32).tolist()
    judged = [number[2] for number in numbers[: accepted + (rejected >= 0)]]
    tells = bool(judged) and not any(math.isnan(logprob) for logprob in judged)
    return RowOutcome(
        drafted=drafted,
        accepted=accepted,
        rejected=None if rejected < 0 else rejected,
        tokens=[slot[0] for slot in slots],
        scores=[
            TokenScore(
                logprob=rounded(logprob), rival=slot[2], rival_logprob=rounded(rival_logprob)
            )
            for slot, (logprob, rival_logprob, _) in zip(slots, numbers, strict=True)
        ],
        digests=[slot[4] for slot in slots],
        draft_logprobs=tuple(map(rounded, judged)) if tells else None,
        residual_log_weight=rounded(closing) if rejected >= 0 and closing == closing else None,
        forecast=forecast,
        drafts=tuple(row[HEAD + FIELDS - 1 :: FIELDS][:drafted]),
    )


def rounded(logprob: float) -> float:
    """Seven decimals are finer than fp32 at this magnitude; JSON has no minus infinity."""
    return round(logprob, 7) if math.isfinite(logprob) else -1e30
