"""What must have happened in a schedule. What has not was not tested, and a pass would be vacuous.

Events are those of `checks/events/vocabulary.py`; here stands which schedule demands which. Pure.
"""

from __future__ import annotations

from equivcheck.checks.events.seen import Seen, look
from equivcheck.checks.events.vocabulary import BY_ID, count
from equivcheck.fault_matrix.openers import without_openers
from equivcheck.records.records import CANDIDATE, Evidence

EVENTS: dict[str, tuple[str, ...]] = {
    "plain": ("partly-accepted",),
    "repetitive": ("six-accepted",),
    "long": ("step-across-64",),
    "drafts": ("step-across-64",),
    "noisy": ("noise-flips",),
    "sampled": ("batch-parameters",),
    "mixed": ("batch-greedy-sampled", "batch-shrinks"),
    "penalised": ("partly-accepted",),
    "endings": (
        "eos-each-slot",
        "eos-in-block",
        "stop-id-in-block",
        "stop-string-in-block",
        "stop-at-limit",
    ),
    "strings": ("stop-string-inside-token", "stop-string-across-tokens", "stop-string-in-block"),
    "budgets": ("limit-each-length",),
    "borders": ("step-across-16", "step-across-64", "context-filled"),
    "repeats": ("prompt-again", "refilled-row"),
    "prefixes": ("shared-16", "shared-64"),
    "ties": ("exact-tie", "batch-greedy-sampled"),
    "bans": ("batch-bans",),
    "recurrent": ("partly-accepted",),
    "law": ("batch-parameters",),
    "turns": ("later-turn",),
    "shared": ("shared-16", "shared-64", "prefix-again"),
    "samples": ("prompt-again",),
}
"""Schedule to the ids of what has to have occurred in it."""
LOOKUP_EVENTS = ("no-drafts-after-accepted",)
"""Events of a drafter that does not always draft, in schedules of greedy text."""


def missing_events(evidence: Evidence) -> list[str]:
    """Events that should have occurred and have not, ``schedule: event``."""
    told = evidence.header.arms[CANDIDATE]
    missing = []
    for workload in dict.fromkeys(asked.workload for asked in evidence.asked.values()):
        seen = look_at(evidence, workload)
        wanted = EVENTS.get(workload, ())
        if told.drafter == "lookup" and workload in ("plain", "repetitive", "recurrent"):
            wanted = (*wanted, *LOOKUP_EVENTS)
        found = [count(seen, BY_ID[id]) for id in wanted]
        missing += [f"{workload}: {event.id}" for event in found if not event.exercised]
    return missing


def look_at(evidence: Evidence, workload: str) -> Seen:
    """What was asked of and answered by the candidate in one schedule."""
    keys = without_openers(evidence.asked)
    return look(evidence, keys={key for key in keys if evidence.asked[key].workload == workload})
