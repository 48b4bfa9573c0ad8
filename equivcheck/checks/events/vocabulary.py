"""The vocabulary of events: every one by its id, what it is in a sentence, and how it is counted.

Shared by runs, which report what was exercised, and by the matrix of faults, whose schedules demand
what they are made for.
"""

from __future__ import annotations

from msgspec import Struct

from equivcheck.checks.events import batches, drafts, endings, places, ties
from equivcheck.checks.events.kind import EventKind
from equivcheck.checks.events.seen import Seen, look
from equivcheck.records.records import Evidence

EVENTS: tuple[EventKind, ...] = (
    *endings.KINDS,
    *drafts.KINDS,
    *places.KINDS,
    *batches.KINDS,
    *ties.KINDS,
)
"""What any run may exercise, in the order of the report."""
RIG_EVENTS: tuple[EventKind, ...] = (*drafts.RIG_KINDS, *places.RIG_KINDS, *ties.RIG_KINDS)
"""What takes a special rig to bring about: demanded by schedules, and not reported of runs."""
BY_ID = {kind.id: kind for kind in (*EVENTS, *RIG_EVENTS)}


class RunEvent(Struct, frozen=True, kw_only=True):
    """One event of a run."""

    id: str
    sentence: str
    count: int = 0
    """How often it happened; of an event of several parts, how often its rarest part did."""
    parts: dict[str, int] = {}
    """Part, such as a slot, to how often it happened; empty where the event has no parts."""
    unknown: str | None = None
    """Why nobody can say; None: it is known."""

    @property
    def exercised(self) -> bool:
        """Whether it is known to have happened, in each of its parts."""
        return self.unknown is None and self.count > 0


def count(seen: Seen, kind: EventKind) -> RunEvent:
    """One event, counted."""
    found = kind.look(seen)
    if isinstance(found, str):
        return RunEvent(id=kind.id, sentence=kind.sentence, unknown=found)
    if isinstance(found, int):
        return RunEvent(id=kind.id, sentence=kind.sentence, count=found)
    least = min(found.values(), default=0)
    return RunEvent(id=kind.id, sentence=kind.sentence, count=least, parts=found)


def events_of(evidence: Evidence) -> tuple[RunEvent, ...]:
    """The events of a run, in the order of the vocabulary, those of its own models last."""
    seen = look(evidence)
    return tuple(count(seen, kind) for kind in (*EVENTS, *places.own_kinds(seen)))
