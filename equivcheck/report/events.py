"""What the run exercised and what it did not: part of the view, by the vocabulary of events."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from equivcheck.checks.events.vocabulary import RunEvent, events_of
from equivcheck.records.records import CANDIDATE, SAMPLED, Evidence
from equivcheck.report.blocks import WIDTH

EVENT_HEADER = ("event", "what it is", "count", "by part")


def event_view(evidence: Evidence) -> tuple[RunEvent, ...]:
    """All events; empty where the candidate gave nothing to count them in."""
    given = evidence.captured.get(CANDIDATE) or evidence.draws.get(SAMPLED)
    return events_of(evidence) if given else ()


def event_lines(events: Sequence[RunEvent]) -> Iterator[str]:
    """How many of all were exercised, and the others by name, wrapped."""
    for line in (exercised_words(events), not_exercised_words(events), unknown_words(events)):
        if line:
            # Ids are our own words: a hyphen in one is no place to break a line.
            yield from textwrap.wrap(
                line, width=WIDTH, subsequent_indent="  ", break_on_hyphens=False
            )


def exercised_words(events: Sequence[RunEvent]) -> str:
    """``exercised: 38 of 41 events``."""
    return f"exercised: {sum(event.exercised for event in events)} of {len(events)} events"


def not_exercised_words(events: Sequence[RunEvent]) -> str:
    """The ids of what is known not to have happened, and of which parts; empty: there are none."""
    named = [_named(event) for event in events if not event.exercised and not event.unknown]
    return f"not exercised: {', '.join(named)}" if named else ""


def unknown_words(events: Sequence[RunEvent]) -> str:
    """The ids of what nobody can tell, by reason; empty: there are none."""
    reasons: dict[str, list[str]] = {}
    for event in events:
        if event.unknown:
            reasons.setdefault(event.unknown, []).append(event.id)
    told = (f"{', '.join(ids)} ({why})" for why, ids in reasons.items())
    return f"unknown: {'; '.join(told)}" if reasons else ""


def counted_words(events: Sequence[RunEvent]) -> str:
    """Every event that was exercised, with its count; empty: none was."""
    told = [f"{event.id} {event.count:,}" for event in events if event.exercised]
    return f"counts: {', '.join(told)}" if told else ""


def event_cells(event: RunEvent) -> tuple[str, ...]:
    """Id, sentence, count, counts by part."""
    parts = " · ".join(f"{part}: {times:,}" for part, times in event.parts.items())
    shown = "unknown" if event.unknown else f"{event.count:,}"
    return (event.id, event.sentence, shown, event.unknown or parts)


def _named(event: RunEvent) -> str:
    never = [part for part, times in event.parts.items() if not times]
    return f"{event.id} ({', '.join(never)})" if 0 < len(never) < len(event.parts) else event.id
