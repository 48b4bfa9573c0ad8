"""What keeps the engines of this package from serving a request, in words. Pure."""

from __future__ import annotations

from equivcheck.core.cases import too_cold
from equivcheck.core.engine import Rule
from equivcheck.core.generation import Request
from equivcheck.core.validation import unrecordable

LOADING = frozenset({"native", "transformers"})
"""Engines that compute with the pair as this process loads it."""
LIMITED = LOADING | {"openvino", "vllm"}
"""Engines that refuse what needs more than the setup's context, or names ids that the pair lacks.
`replay` gives what was recorded, and what other packages' engines serve is theirs to say."""


def positions(request: Request) -> int:
    """What prompt and output take at most."""
    return len(request.prompt_ids) + request.max_new_tokens


def ids_outside(request: Request, *, vocab: int) -> list[int]:
    """The ids that a request names and a vocabulary lacks."""
    sampling = request.sampling
    named = (
        *request.prompt_ids,
        *request.stop_token_ids,
        *sampling.logit_bias,
        *sampling.banned_tokens,
    )
    return [token for token in named if not 0 <= token < vocab]


def misfit(request: Request, *, vocab: int, context: int) -> str | None:
    """Why a request does not fit a model and its context; None: it does."""
    if not request.prompt_ids:
        return "its prompt is empty"
    if (needed := positions(request)) > context:
        return f"prompt and output need {needed} positions, setup.context is {context}"
    if outside := ids_outside(request, vocab=vocab):
        return f"token id {outside[0]} is outside the vocabulary of {vocab}"
    return None


def refusal(request: Request, *, vocab: int, context: int, rule: Rule) -> str | None:
    """Why the native decoder cannot serve a request as asked; None: it can.

    Requests need not come out of a suite, so what a suite may not say is refused here as well: in
    fp32 it would overflow, and the batch would be answered with noise or not at all.
    """
    sampling = request.sampling
    if wrong := misfit(request, vocab=vocab, context=context):
        return wrong
    if not sampling.greedy and rule == "greedy":
        return f"temperature {sampling.temperature:g} with rule=greedy"
    if cold := too_cold(sampling.temperature):
        return f"temperature {cold}"
    wrong = unrecordable(sampling)
    return wrong and f"sampling: {wrong}"
