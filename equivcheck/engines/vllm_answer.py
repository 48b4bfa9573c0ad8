"""Read what vLLM says of a request's drafts and log-probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from equivcheck.core.generation import DraftCounts, Request, TokenScore


def untouched(request: Request) -> bool:
    """Whether the logits that vLLM scores are those that `TokenScore` means."""
    law = request.sampling
    neutral = (law.repetition_penalty, law.presence_penalty, law.frequency_penalty) == (1, 0, 0)
    return neutral and not (law.logit_bias or law.banned_tokens or law.min_new_tokens)


def counts_of(metrics: Any) -> DraftCounts | None:
    """A request's drafts, from vLLM's count of the steps that drafted."""
    if metrics is None:
        return None
    accepted = metrics.per_step_accepted
    return DraftCounts(
        steps=len(accepted),
        drafted=metrics.num_draft_tokens,
        accepted=sum(accepted),
        accepted_by_slot=tuple(
            sum(kept > slot for kept in accepted) for slot in range(metrics.num_spec_tokens)
        ),
    )


def scores_of(token_ids: Sequence[int], found: Sequence[Any]) -> tuple[TokenScore, ...]:
    """Each token's log-probability and that of the most likely other one."""
    scores = []
    for token, each in zip(token_ids, found, strict=True):
        rival = max((other for other in each if other != token), key=lambda t: each[t].logprob)
        scores.append(
            TokenScore(logprob=each[token].logprob, rival=rival, rival_logprob=each[rival].logprob)
        )
    return tuple(scores)
