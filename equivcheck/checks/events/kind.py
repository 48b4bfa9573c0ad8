"""A kind of event: its id, its sentence, and the function that counts it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from equivcheck.checks.events.seen import Seen

Found = int | dict[str, int] | str
"""How often; how often by part; or why nobody can say."""
NO_STEPS = "the engine reports no verify steps"
ONLY_COUNTS = "the engine reports counts of drafts, and no verify steps"
NO_SCORES = "the engine reports no log-probabilities"


class EventKind(NamedTuple):
    """One word of the vocabulary."""

    id: str
    sentence: str
    look: Callable[[Seen], Found]


def by_part(found: Iterable[int], parts: Iterable[int], *, name: str) -> dict[str, int]:
    """How often each of some numbered parts occurs among what was found."""
    numbers = list(found)
    return {f"{name} {part}": numbers.count(part) for part in parts}


def from_steps(counted: Callable[[Seen], Found]) -> Callable[[Seen], Found]:
    """What only steps can tell, or that there are none."""
    return lambda seen: counted(seen) if seen.tells_steps else NO_STEPS


def from_drafts(counted: Callable[[Seen], Found]) -> Callable[[Seen], Found]:
    """What steps tell, or counts of drafts; or that there are neither."""
    return lambda seen: counted(seen) if seen.tells_drafts else NO_STEPS
