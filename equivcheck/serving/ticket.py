"""One request of a service, from its arrival to its end: where it stands, on the host."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from equivcheck.core.generation import Request
from equivcheck.decoding.progress import Progress

if TYPE_CHECKING:
    from equivcheck.serving.prefix_store import Node


class Ticket:
    """A request that waits, or has a row, in which it is first read and then decoded.

    Attributes:
        row: that it has; None while it waits.
        progress: what it has been answered; None until it is decoded for the first time.
        cached: positions whose keys and values are in its row, counted from the first.
        running: whether it has begun to be decoded in its row.
        held: blocks of its prompt, from the first, that are kept for it and may not be given away.
        taken: prompt tokens that were taken over from the store since it has the row.
    """

    def __init__(self, request: Request) -> None:
        """It has just come, and waits."""
        self.request = request
        self.submitted = time.perf_counter()
        self.row: int | None = None
        self.progress: Progress | None = None
        self.cached = 0
        self.running = False
        self.held: list[Node] = []
        self.taken = 0

    @property
    def prompt(self) -> tuple[int, ...]:
        """Its prompt."""
        return self.request.prompt_ids

    @property
    def output(self) -> list[int]:
        """What it has been answered so far."""
        return self.progress.stops.output if self.progress else []

    @property
    def known(self) -> int:
        """Tokens known so far, prompt included."""
        return len(self.prompt) + len(self.output)

    @property
    def to_read(self) -> int:
        """Prompt positions that are read; the last is left to the first decoding step."""
        return len(self.prompt) - 1

    @property
    def reading(self) -> bool:
        """Whether it has a row in which its prompt is not yet read."""
        return self.row is not None and self.cached < self.to_read

    @property
    def behind(self) -> bool:
        """Whether its row lacks tokens, read or computed, that are known, and it does not run."""
        return self.row is not None and not self.running and self.cached < self.known - 1
