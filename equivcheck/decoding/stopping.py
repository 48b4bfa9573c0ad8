"""Stop rules, applied token by token on the host, also inside an accepted block.

A block is walked in order: the first token that ends the request cuts the block there, whatever
was accepted behind it.
"""

from __future__ import annotations

from collections.abc import Sequence

from equivcheck.core.detokenise import Detokenise
from equivcheck.core.generation import FinishReason, Request


def stop_ids(request: Request, *, eos_token_ids: Sequence[int]) -> tuple[int, ...]:
    """All ids that end a request."""
    return (*request.stop_token_ids, *(() if request.ignore_eos else eos_token_ids))


class StopRules:
    """Watches one request's output."""

    def __init__(
        self, request: Request, *, eos_token_ids: Sequence[int], detokenise: Detokenise
    ) -> None:
        """Watch for `eos_token_ids` unless the request ignores them."""
        self.request = request
        self.eos = frozenset(() if request.ignore_eos else eos_token_ids)
        self.detokenise = detokenise
        self.output: list[int] = []

    def take(self, block: Sequence[int]) -> FinishReason | None:
        """Append a block up to and including the token that ends the request, if one does."""
        for token in block:
            self.output.append(token)
            if reason := self.finished():
                return reason
        return None

    def finished(self) -> FinishReason | None:
        """Why the last token ended the request, or None. A stop goes before a length limit."""
        last = self.output[-1]
        if last in self.eos:
            return "eos"
        if last in self.request.stop_token_ids or self.completes_stop_string():
            return "stop"
        return "length" if len(self.output) >= self.request.max_new_tokens else None

    def completes_stop_string(self) -> bool:
        """Whether the text up to here contains a stop string, over token borders too."""
        if not self.request.stop:
            return False
        text = self.detokenise(self.output)
        return any(stop in text for stop in self.request.stop)
