"""F16: what a request leaves behind reaches the next one in its row, or the next of its prompt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from equivcheck.core.generation import Request
from equivcheck.decoding.decoder import Decoder
from equivcheck.faults.fault import fault
from equivcheck.faults.rollback import PAGE


@fault(
    "counts-leak",
    family="F16",
    recreates="vLLM #49620",
    caught_by="greedy",
    schedules=("penalised", "repeats"),
)
class LeaksCounts(Decoder):
    """A request's penalties start from the counts of the row's last request."""

    def admit(self, row: int, request: Request) -> None:
        """Admit, then put the old counts back."""
        left_over = self.rows.counts[row].clone()
        super().admit(row, request)
        self.rows.counts[row] = left_over


@fault(
    "placeholder-outlives",
    family="F16",
    recreates="vLLM #46899",
    caught_by="greedy",
    schedules=("plain", "repetitive"),
)
class KeepsPlaceholder(Decoder):
    """In a row that served before, a placeholder stands where the prompt's last token should."""

    def __init__(self, *args: Any, **options: Any) -> None:
        """No row has served yet."""
        super().__init__(*args, **options)
        self.served: set[int] = set()

    def admit(self, row: int, request: Request) -> None:
        """Admit, then put the placeholder back."""
        super().admit(row, request)
        if row in self.served:
            self.rows.tokens[row, len(request.prompt_ids) - 1] = 0
        self.served.add(row)


@fault(
    "prefix-hit-unread",
    family="F16",
    recreates="vLLM #18668",
    caught_by="greedy",
    schedules=("repeats",),
)
class TrustsPrefix(Decoder):
    """A prompt that was seen before counts as cached up to drafts that were never scheduled."""

    def __init__(self, *args: Any, **options: Any) -> None:
        """No prompt is known yet."""
        super().__init__(*args, **options)
        self.known: set[tuple[int, ...]] = set()

    def read_prompts(self, arrived: Mapping[int, Request]) -> None:
        """Read, but take the last page of a known prompt for read."""
        super().read_prompts(arrived)
        for row, request in arrived.items():
            if request.prompt_ids in self.known:
                end = len(request.prompt_ids) - 1
                for buffer in (*self.cache.keys, *self.cache.values):
                    buffer[row, end // PAGE * PAGE - PAGE : end] = 0.0
            self.known.add(request.prompt_ids)
