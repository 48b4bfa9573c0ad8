"""Between a request and flashspec: what it cannot be asked, and what its result says. No torch.

The library itself is imported by `flashspec.py` alone, so that this can be read and tested without.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from equivcheck.core.cases import Sampling
from equivcheck.core.errors import EngineError
from equivcheck.core.generation import FinishReason, Generation, Request, Step
from equivcheck.engines.serving import misfit

SERVED = ("temperature",)
"""Fields of `Sampling` that the library knows; its `top_p` belongs to a variant that is lossy."""


class TakenStep(Protocol):
    """What is read of the library's `ArmStep`."""

    @property
    def proposed(self) -> int:
        """Draft tokens put to the target; a lookup's real ones."""
        ...

    @property
    def accepted(self) -> int:
        """Of these, accepted, whether a stop cut them off or not."""
        ...

    @property
    def emitted(self) -> int:
        """Tokens that reached the output."""
        ...

    @property
    def seconds(self) -> float:
        """Wall time; the first step's holds the prompt."""
        ...


def refuse_what_it_lacks(request: Request, *, vocab: int, context: int) -> None:
    """Refuse a request that cannot be served as asked.

    Raises:
        EngineError: naming the request and what the library lacks, or what is out of range.
    """
    law = request.sampling
    lacking = [
        name
        for name in Sampling.__struct_fields__
        if name not in SERVED and getattr(law, name) != getattr(Sampling(), name)
    ]
    if lacking:
        problem: str | None = f"the library has no {lacking[0]}"
    elif request.stop:
        problem = "the library has no stop strings"
    else:
        problem = misfit(request, vocab=vocab, context=context)
    if problem:
        raise EngineError(f"flashspec: cannot serve {request.key}: {problem}")


def generation_of(
    request: Request,
    token_ids: Sequence[int],
    steps: Sequence[TakenStep],
    *,
    eos_ids: Collection[int],
    seconds: float,
) -> Generation:
    """The library's result as an answer; counts are passed on as they are.

    Args:
        request: What was asked.
        token_ids: The output without its padding.
        steps: One a verify step, in order.
        eos_ids: The end-of-text ids that count for this request.
        seconds: Wall time of the call.

    Raises:
        EngineError: the library stopped before it had to.
    """
    last = token_ids[-1] if token_ids else None
    reason: FinishReason = "length"
    if last in eos_ids:
        reason = "eos"
    elif last in request.stop_token_ids:
        reason = "stop"
    elif len(token_ids) < request.max_new_tokens:
        raise EngineError(
            f"flashspec: gave up on {request.key} after {len(token_ids)} of "
            f"{request.max_new_tokens} tokens, without a stop"
        )
    return Generation(
        key=request.key,
        token_ids=tuple(token_ids),
        finish_reason=reason,
        prompt_tokens=len(request.prompt_ids),
        steps=tuple(
            Step(
                drafted=step.proposed,
                accepted=step.accepted,
                emitted=step.emitted,
                seconds=step.seconds,
            )
            for step in steps
        ),
        total_seconds=seconds,
    )
