"""What vLLM serves as it is meant here, and what it says of a request's drafts and scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from equivcheck.core.generation import DraftCounts, Request, TokenScore

NOT_TOGETHER = (
    "min_p+top_p",
    "logit_bias+repetition_penalty",
    "min_new_tokens+ignore_eos",
    "min_new_tokens+stop",
)
"""vLLM cuts by min-p before top-p and adds biases before penalties; its least length bans the end
of text even where that is ignored, and holds stop strings back."""
RANGES = {
    # Temperatures between 0 and the first are raised to it.
    "temperature": (0.01, 2.0),
    "presence_penalty": (-2.0, 2.0),
    "frequency_penalty": (-2.0, 2.0),
    "logit_bias": (-100.0, 100.0),
}


def untouched(request: Request) -> bool:
    """Whether the logits that vLLM scores are those that `TokenScore` means."""
    sampling = request.sampling
    neutral = (
        sampling.repetition_penalty,
        sampling.presence_penalty,
        sampling.frequency_penalty,
    ) == (1, 0, 0)
    return neutral and not (
        sampling.logit_bias or sampling.banned_tokens or sampling.min_new_tokens
    )


def counts_of(metrics: Any) -> DraftCounts:
    """A request's drafts, from vLLM's count of the steps that drafted; None: none did."""
    if metrics is None:
        return DraftCounts(drafted=0, accepted=0, steps=0)
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
