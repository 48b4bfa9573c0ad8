"""Schedules demand events of the one vocabulary, and what is missing is named."""

from __future__ import annotations

import itertools

from equivcheck.checks.events.vocabulary import BY_ID
from equivcheck.fault_matrix.events import EVENTS, LOOKUP_EVENTS, missing_events
from equivcheck.records.records import CANDIDATE
from tests.unit.make import make_capabilities, make_evidence, make_generation, make_steps


def test_every_demanded_event_is_one_of_the_vocabulary() -> None:
    demanded = {*itertools.chain.from_iterable(EVENTS.values()), *LOOKUP_EVENTS}
    assert demanded <= BY_ID.keys()


def test_what_is_missing_is_named() -> None:
    answers = [
        make_generation((5,), key=f"{name}/00", steps=make_steps((4, 0, 1)))
        for name in ("plain", "code")
    ]
    evidence = make_evidence({CANDIDATE: answers})
    assert missing_events(evidence) == ["plain: partly-accepted"]


def test_another_schedule_does_not_stand_in() -> None:
    plain = make_generation((5,), key="plain/00", steps=make_steps((4, 0, 1)))
    other = make_generation((5,) * 3, key="code/00", steps=make_steps((4, 2)))
    assert missing_events(make_evidence({CANDIDATE: [plain, other]})) == ["plain: partly-accepted"]


def test_a_lookup_drafter_also_has_to_go_without_drafts() -> None:
    answer = make_generation((5,) * 3, key="plain/00", steps=make_steps((4, 2)))
    told = make_capabilities(num_speculative_tokens=4, drafter="lookup")
    evidence = make_evidence({CANDIDATE: [answer]}, arms={CANDIDATE: told})
    assert missing_events(evidence) == ["plain: no-drafts-after-accepted"]
