"""Events about ties at the border of a cut, and about noise that decides one."""

from __future__ import annotations

from equivcheck.checks.events.kind import NO_SCORES, EventKind, Found
from equivcheck.checks.events.seen import AnsweredRequest, Seen
from equivcheck.core.generation import TokenScore
from equivcheck.core.ties import ties_at_cut


def keeps_one(answer: AnsweredRequest) -> bool:
    """Whether the cut leaves one token, so that its border lies before the rival."""
    return answer.request.sampling.greedy or answer.request.sampling.top_k == 1


def exact(seen: Seen) -> Found:
    """Tokens at which two candidates tie exactly across the cut.

    A request may bring that about by itself; else scores tell, where the cut leaves one token.
    """
    planted = sum(
        len(answer.generation.token_ids)
        for answer in seen.every
        if ties_at_cut(answer.request.sampling)
    )
    # Loads numpy, which is no part of what `checks` costs to import.
    from equivcheck.core.columns import logprobs_of

    scored = sum(
        int((own == others).sum())
        for answer in seen.every
        if keeps_one(answer)
        for own, others in [logprobs_of(answer.generation).T]
    )
    return planted + scored or _nothing(seen)


def near(seen: Seen) -> Found:
    """Tokens that arithmetic might have put on the other side of a cut, without an exact tie.

    Where scoring says so of a draw; and where the cut leaves one token and both it and its rival
    carry a bias, whose size then bounds the magnitude of both logits and so the size of an ulp.
    """
    planted = sum(
        ties_nearly(answer, token, score, seen=seen)
        for answer in seen.every
        if answer.request.sampling.logit_bias and keeps_one(answer)
        for token, score in zip(
            answer.generation.token_ids, answer.generation.scores or (), strict=False
        )
    )
    return planted + seen.border or _nothing(seen)


def ties_nearly(answer: AnsweredRequest, token: int, score: TokenScore, *, seen: Seen) -> bool:
    """Whether a token and its rival lie a few ulps of their biases apart."""
    biases = answer.request.sampling.logit_bias
    least = min(biases.get(token, 0.0), biases.get(score.rival, 0.0))
    gap = abs(score.logprob - score.rival_logprob)
    return 0.0 < gap <= seen.near_ulps * seen.epsilon * least


def _nothing(seen: Seen) -> Found:
    told = any(answer.generation.scores for answer in seen.answers)
    return 0 if told or not seen.answers else NO_SCORES


KINDS = (
    EventKind("exact-tie", "an exact tie at the border of a cut", exact),
    EventKind("near-tie", "a near tie at the border of a cut", near),
)
RIG_KINDS = (EventKind("noise-flips", "a token that noise has flipped", lambda seen: seen.parted),)
