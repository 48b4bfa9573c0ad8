"""F16: what a request leaves behind reaches the next one in its row, or the next of its prompt."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
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


@fault(
    "prefix-hit-page-too-long",
    family="F16",
    recreates="Mooncake #4153",
    caught_by="greedy",
    schedules=("prefixes",),
)
class TakesPageTooMany(Decoder):
    """Of a prompt that shares pages with it, a row takes over one page more than they share."""

    def __init__(self, *args: Any, **options: Any) -> None:
        """No row holds a prompt yet."""
        super().__init__(*args, **options)
        self.held: dict[int, tuple[int, ...]] = {}

    def read_prompts(self, arrived: Mapping[int, Request]) -> None:
        """Read, then copy the page behind what is shared with a prompt read before."""
        super().read_prompts(arrived)
        self.held = {row: prompt for row, prompt in self.held.items() if row not in arrived}
        for row, request in arrived.items():
            for other, prompt in self.held.items():
                pages = common(request.prompt_ids, prompt) // PAGE
                if pages and prompt != request.prompt_ids:
                    taken = slice(
                        pages * PAGE, min((pages + 1) * PAGE, len(request.prompt_ids) - 1)
                    )
                    for buffer in (*self.cache.keys, *self.cache.values):
                        buffer[row, taken] = buffer[other, taken]
                    break
            self.held[row] = request.prompt_ids


def common(one: Sequence[int], other: Sequence[int]) -> int:
    """How many leading tokens two prompts share."""
    pairs = zip(one, other, strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))
