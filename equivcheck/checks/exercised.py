"""Gate: the run exercised the events that the settings require. None are required by default.

What was exercised is reported of every run; here it decides, and only by making a pass
inconclusive: an event that never happened, or that nobody can tell, shows no fault.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from equivcheck.checks.events.places import own_kinds
from equivcheck.checks.events.seen import look
from equivcheck.checks.events.vocabulary import BY_ID, EVENTS, RunEvent, count
from equivcheck.checks.subjects import RUN, plural
from equivcheck.core.errors import SettingsError, unknown_name
from equivcheck.core.escape import head
from equivcheck.core.findings import Finding, Outcome, Reason
from equivcheck.core.settings import ALL, AUTO, Settings
from equivcheck.records.records import Evidence

IDS = tuple(kind.id for kind in EVENTS)
WIDTH = 90


def check(evidence: Evidence) -> list[Finding]:
    """One finding for the run, where events are required."""
    required = required_events(evidence.header.settings)
    if not required:
        return []
    seen = look(evidence)
    own = {kind.id: kind for kind in own_kinds(seen)}
    known = {id: BY_ID[id] for id in IDS} | own
    if set(IDS) <= set(required):
        required = tuple(dict.fromkeys((*required, *own)))
    found = [
        count(seen, known[id])
        if id in known
        else RunEvent(id=head(id, cells=60), sentence="", unknown="no event has this id")
        for id in required
    ]
    missing = [event for event in found if not event.exercised]
    wanted = plural(len(found), "required event")
    return [
        Finding(
            check="events",
            subject=RUN,
            outcome=Outcome.INCONCLUSIVE if missing else Outcome.PASS,
            reason=Reason.NOT_EXERCISED if missing else Reason.EXERCISED,
            headline=f"{len(missing)} of {wanted} not exercised"
            if missing
            else f"{wanted} exercised",
            details=tuple(line for event in missing for line in words(event)),
            n=len(found) - len(missing),
        )
    ]


def words(event: RunEvent) -> Iterator[str]:
    """What is missing, wrapped."""
    why = f"unknown: {event.unknown}" if event.unknown else event.sentence
    never = ", ".join(part for part, times in event.parts.items() if not times)
    only = f"; never: {never}" if never else ""
    yield from textwrap.wrap(f"{event.id}: {why}{only}", width=WIDTH, subsequent_indent="  ")


def required_events(settings: Settings) -> tuple[str, ...]:
    """The ids that settings require, as they stand in a run's header."""
    wanted = settings.require_events
    if wanted == ALL:
        return IDS
    if isinstance(wanted, str):
        wanted = () if wanted == AUTO else tuple(each.strip() for each in wanted.split(","))
    return tuple(each for each in dict.fromkeys(wanted or ()) if each)


def with_required_events(settings: Settings) -> Settings:
    """The settings with what their profile requires written out.

    Done as a run starts, and not as it is judged, so that runs of before are judged as ever.

    Raises:
        SettingsError: no event has one of the ids.
    """
    for id in required_events(settings):
        if id not in IDS:
            raise SettingsError(f"require_events: {unknown_name('event', id, IDS)}")
    return settings.in_full()
