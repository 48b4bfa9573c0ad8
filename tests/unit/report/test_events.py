"""The block about events: how many, which not, which unknown and why."""

from __future__ import annotations

import msgspec

from equivcheck.checks.events.vocabulary import RunEvent
from equivcheck.checks.verdict import judge
from equivcheck.records.records import TARGET
from equivcheck.report import html, markdown
from equivcheck.report.events import event_cells, event_lines
from equivcheck.report.terminal import render
from equivcheck.report.view import view_of
from tests.unit.make import make_evidence, make_generation

ONCE = RunEvent(id="near-tie", sentence="a near tie", count=1200)
NEVER = RunEvent(id="refilled-row", sentence="a row")
PART = RunEvent(id="eos-each-slot", sentence="eos", parts={"slot 0": 3, "slot 1": 0})
UNKNOWN = RunEvent(id="exact-tie", sentence="a tie", unknown="no scores")


def test_the_block_is_compact() -> None:
    assert list(event_lines([ONCE, NEVER, PART, UNKNOWN])) == [
        "exercised: 1 of 4 events",
        "not exercised: refilled-row, eos-each-slot (slot 1)",
        "unknown: exact-tie (no scores)",
    ]
    assert list(event_lines([ONCE])) == ["exercised: 1 of 1 events"]


def test_long_lists_are_wrapped_and_ids_stay_whole() -> None:
    many = [RunEvent(id=f"some-event-{n}", sentence="s") for n in range(40)]
    lines = list(event_lines(many))
    assert max(map(len, lines)) <= 100
    words = " ".join(lines).split()
    assert all(f"{event.id}," in words for event in many[:-1])


def test_cells() -> None:
    assert event_cells(ONCE) == ("near-tie", "a near tie", "1,200", "")
    assert event_cells(PART)[2:] == ("0", "slot 0: 3 · slot 1: 0")
    assert event_cells(UNKNOWN)[2:] == ("unknown", "no scores")


def test_every_face_has_the_events() -> None:
    answers = [make_generation(key="code/1"), make_generation(key="code/2")]
    evidence = make_evidence({TARGET: answers, "candidate": answers})
    view = view_of(evidence, judge(evidence))
    again = next(event for event in view.events if event.id == "prompt-again")
    assert again.count == 1
    assert "exercised: " in render(view)
    assert "prompt-again 1" in markdown.render(view)
    assert "a prompt asked twice" in html.render(view)
    told = {event["id"]: event for event in msgspec.to_builtins(view)["events"]}
    assert told["prompt-again"]["count"] == 1
    assert told["refilled-row"]["count"] == 0


def test_nothing_is_shown_where_nothing_was_answered() -> None:
    evidence = make_evidence({TARGET: [make_generation()]})
    assert "exercised" not in render(view_of(evidence, judge(evidence)))
