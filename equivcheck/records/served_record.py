"""What came of a schedule: the record of one arm that was served."""

from __future__ import annotations

from msgspec import Struct

from equivcheck.core.service_schedule import Schedule
from equivcheck.core.serving import ServedEvent


class ServedRun(Struct, frozen=True, kw_only=True, tag="served", omit_defaults=True):
    """All that happened while an engine served a suite; whole answers are lines of their own."""

    arm: str
    """`records.SERVED` or `records.SERVED_TARGET`, or one that draws: `records.DRAWING`."""
    schedule: Schedule
    """As it was put to the service; where it draws, of one of the rounds that went side by side."""
    events: tuple[ServedEvent, ...]
    """In order, without generations; where it draws, those of being given up and preempted."""
    by_clock: bool = False
    """Whether steps are stretches of time, and answers were told when they were whole."""
