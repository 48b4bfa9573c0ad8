"""Serve the suites whose requests have times, to arms whose engines serve; judges nothing.

Such a suite is asked as any other first, so that each request's answer without the others is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from msgspec.structs import replace

from equivcheck.capture.ask import as_answer, named, own_copies, unusable
from equivcheck.capture.logbook import Logbook
from equivcheck.capture.plan import Plan
from equivcheck.capture.serve import ScheduleRun
from equivcheck.core.engine import Capabilities, Engine
from equivcheck.core.errors import LONGEST_MESSAGE, EngineError, EngineGoneError, describe
from equivcheck.core.generation import Generation, Request
from equivcheck.core.service_schedule import Schedule
from equivcheck.core.serving import ServingEngine
from equivcheck.records.records import SERVES, Failed, ServedRun


def with_services(plan: Plan, told: Mapping[str, Capabilities]) -> Plan:
    """The plan with what engines that serve have to answer: all that is not given up for good."""
    schedules = plan.schedules
    keys = tuple(
        arrival.key
        for schedule in schedules
        for arrival in schedule.arrivals
        if arrival.give_up_after is None or arrival.retry is not None
    )
    more = {
        served: keys
        for arm, served in SERVES.items()
        if schedules and arm in told and told[arm].serves
    }
    return replace(plan, planned=plan.planned | more)


def unserved(book: Logbook, *, arm: str) -> list[Schedule]:
    """The schedules that an arm has yet to serve; one that was interrupted is served again."""
    served = SERVES.get(arm)
    if served not in book.plan.planned:
        return []
    return [each for each in book.plan.schedules if (served, each.name) not in book.served]


def serve_suites(book: Logbook, engine: Engine, *, arm: str) -> None:
    """Put to an arm's engine what it has yet to serve.

    Raises:
        EngineGoneError: it says that it can answer nothing more.
    """
    for schedule in unserved(book, arm=arm):
        serve_one(book, cast("ServingEngine", engine), schedule, arm=arm)


def serve_one(book: Logbook, engine: ServingEngine, schedule: Schedule, *, arm: str) -> None:
    """Put a schedule to an engine, and write down what comes; where it breaks, that."""
    served = SERVES[arm]
    answers: dict[str, Generation] = {}

    def request_of(key: str) -> Request:
        ready = book.histories.asked(book.requests[key], arm=served)
        if isinstance(ready, Failed):
            raise EngineError(ready.message)
        (own,) = own_copies([ready])
        return own

    def answered(answer: Generation) -> None:
        answers[answer.key] = as_answer(answer, who=named(engine, arm=served))
        book.histories.note(answer, arm=served)

    def pace(key: str) -> float | None:
        return book.paces.get((arm, key))

    try:
        service = engine.serve(schedule.limits)
        found = ScheduleRun(service, schedule, request_of, answered=answered, pace=pace).whole()
    except EngineGoneError:
        raise
    # An adapter may raise anything; a failure is recorded and never taken for an answer.
    except (Exception, SystemExit) as error:
        told = f"while {schedule.name} was served: {describe(error)}"[:LONGEST_MESSAGE]
        keys = [each.key for each in schedule.arrivals]
        book.take_all((Failed(arm=served, key=key, message=told) for key in keys), arm=served)
        return
    for key, answer in answers.items():
        if key in book.answered[served]:
            continue
        wrong = unusable(answer, request_of(key))
        failed = Failed(arm=served, key=key, message=(wrong or "")[:LONGEST_MESSAGE])
        book.take(failed if wrong else answer, arm=served)
    events = tuple(replace(each, generation=None) for each in found.events)
    book.writer.append(
        ServedRun(arm=served, schedule=schedule, events=events, by_clock=service.by_clock)
    )
