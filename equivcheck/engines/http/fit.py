"""What keeps a server from serving a request, as far as it has said. Pure."""

from __future__ import annotations

from equivcheck.core.generation import Request
from equivcheck.core.refusals import lacking
from equivcheck.engines.http.dialect import ServerCapabilities
from equivcheck.engines.serving import ids_outside, positions


def misfit(request: Request, told: ServerCapabilities, *, vocab: int) -> str | None:
    """Why a request cannot be served as asked; None: as far as the server has said, it can."""
    if not request.prompt_ids:
        return "its prompt is empty"
    if outside := ids_outside(request, vocab=vocab):
        return f"token id {outside[0]} is outside the vocabulary of {vocab}"
    if told.context is not None and positions(request) > told.context:
        return f"prompt and output need {positions(request)} positions of {told.context}"
    if needed := lacking(told, request):
        return f"it does not serve {' and '.join(needed)}"
    return None
