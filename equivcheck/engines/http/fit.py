"""What keeps a server from serving a request, as far as it has said. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from equivcheck.core.cases import Sampling
from equivcheck.core.generation import Request
from equivcheck.engines.http.dialect import Told
from equivcheck.engines.serving import ids_outside, positions


def misfit(request: Request, told: Told, *, vocab: int) -> str | None:
    """Why a request cannot be served as asked; None: as far as the server has said, it can."""
    if not request.prompt_ids:
        return "its prompt is empty"
    if outside := ids_outside(request, vocab=vocab):
        return f"token id {outside[0]} is outside the vocabulary of {vocab}"
    if told.context is not None and positions(request) > told.context:
        return f"prompt and output need {positions(request)} positions of {told.context}"
    if not told.sampled and not request.sampling.greedy:
        return "it cannot sample by a seed"
    return next(_lacking(request, told), None)


def _lacking(request: Request, told: Told) -> Iterator[str]:
    law, plain = request.sampling, Sampling()
    unasked = Request(key="", prompt_ids=(), max_new_tokens=0)
    for name in told.refuses:
        asker, default = (law, plain) if hasattr(plain, name) else (request, unasked)
        if getattr(asker, name) != getattr(default, name):
            yield f"it has no {name}"
    for name, (least, most) in told.ranges.items():
        value = getattr(law, name)
        values = value.values() if isinstance(value, dict) else (value,)
        for each in values:
            if not least <= each <= most:
                yield f"{name} {each:g} is outside of {least:g} to {most:g}"
