"""What keeps the native decoder from serving a request, in words. Pure."""

from __future__ import annotations

from equivcheck.core.cases import too_cold
from equivcheck.core.engine import Rule
from equivcheck.core.generation import Request
from equivcheck.core.validation import unrecordable


def refusal(request: Request, *, vocab: int, context: int, rule: Rule) -> str | None:
    """Why a request cannot be served as asked; None: it can.

    Requests need not come out of a suite, so what a suite may not say is refused here as well: in
    fp32 it would overflow, and the batch would be answered with noise or not at all.
    """
    law = request.sampling
    needed = len(request.prompt_ids) + request.max_new_tokens
    named = (*request.prompt_ids, *request.stop_token_ids, *law.logit_bias, *law.banned_tokens)
    outside = [token for token in named if not 0 <= token < vocab]
    if not request.prompt_ids:
        return "its prompt is empty"
    if needed > context:
        return f"prompt and output need {needed} positions, setup.context is {context}"
    if outside:
        return f"token id {outside[0]} is outside the vocabulary of {vocab}"
    if not law.greedy and rule == "greedy":
        return f"temperature {law.temperature:g} with rule=greedy"
    if cold := too_cold(law.temperature):
        return f"temperature {cold}"
    wrong = unrecordable(law)
    return wrong and f"sampling: {wrong}"
