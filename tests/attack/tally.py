"""What an attack counts: tries and failures by kind, and what a failure was."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Tally:
    """One kind of attack on one thing."""

    kind: str
    what: str
    tries: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    """What the tries came to, in a word each."""
    failures: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, outcome: str) -> None:
        """One try that ended as it may."""
        self.tries += 1
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1

    def fail(self, told: str) -> None:
        """One try that did not."""
        self.tries += 1
        self.failures.append(told)


@contextmanager
def timed(tally: Tally) -> Iterator[Tally]:
    """Count the time that is spent inside."""
    started = time.perf_counter()
    try:
        yield tally
    finally:
        tally.seconds += time.perf_counter() - started
