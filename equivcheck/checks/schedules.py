"""Whether what is served under a schedule is what is answered alone. Pure.

Each answer has to have the ids that its request is answered with alone, and under one identity
contract the bits too; what was told of a request before it was given up has to begin its answer.
The first difference in time is told first, with what had happened to the request by then.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from equivcheck.core.findings import Finding, Outcome, Reason
from equivcheck.core.generation import Generation
from equivcheck.core.service_schedule import Schedule, Served, tokens_of, unmet
from equivcheck.core.serving import ServedEvent

CHECK = "schedules"
JUST_BEFORE = 2
"""Steps within which what happened to others is told, too."""
MOST_LINES = 12


class ScheduleDifference(NamedTuple):
    """Where a request's answer is not what it is alone."""

    key: str
    step: int
    """Step of the service, in which what differs was told."""
    place: int
    """Tokens of its output before that are the same."""
    what: str


def judge(
    schedule: Schedule, served: Served, *, alone: Mapping[str, Generation], bits: bool
) -> list[Finding]:
    """One finding for each request that differs, the first in time first, or one for the whole.

    Args:
        schedule: that was put to a service.
        served: what came of it.
        alone: what each request is answered alone, by key.
        bits: whether the arms share an identity contract, so that logits are compared to the bit.
    """
    found = sorted(differences(schedule, served, alone=alone, bits=bits), key=lambda it: it.step)
    if found:
        return [failure(each, schedule, served) for each in found]
    if not served.answers:
        return [unsure(schedule, Reason.NOTHING_COMPARED, "no request has a whole answer")]
    if missing := unmet(schedule, served):
        what = f"did not bring about: {', '.join(missing)}"
        return [unsure(schedule, Reason.NOT_EXERCISED, what)]
    return [passed(schedule, served)]


def unsure(schedule: Schedule, reason: Reason, what: str) -> Finding:
    """The finding of a schedule that has shown nothing."""
    return Finding(
        check=CHECK,
        subject=schedule.name,
        outcome=Outcome.INCONCLUSIVE,
        reason=reason,
        headline=f"{schedule.name}: {what}",
    )


def differences(
    schedule: Schedule, served: Served, *, alone: Mapping[str, Generation], bits: bool
) -> Iterator[ScheduleDifference]:
    """The first difference of each request, if there is one."""
    answers = served.answers
    last = max((each.step for each in served.events), default=0)
    for key in dict.fromkeys(each.key for each in schedule.arrivals):
        expected = alone[key]
        for life in lives(served.of("seated", "tokens", "given up", "finished"), key):
            told = tokens_of(life)
            place = common(told, expected.token_ids)
            if place < len(told):
                yield ScheduleDifference(
                    key, step_of(life, place), place, words(told, expected, place)
                )
                break
        else:
            if key in answers:
                yield from endings(served, expected, answers[key], bits=bits)
            elif not any(each.key == key for each in served.of("given up")):
                yield ScheduleDifference(key, last, 0, "it has no answer")


def endings(
    served: Served, expected: Generation, answer: Generation, *, bits: bool
) -> Iterator[ScheduleDifference]:
    """How a whole answer differs whose told tokens begin as they have to."""
    step = next(each.step for each in served.events if each.generation is answer)
    told, size = answer.token_ids, len(answer.token_ids)
    if told != expected.token_ids:
        place = common(told, expected.token_ids)
        yield ScheduleDifference(answer.key, step, place, words(told, expected, place))
    elif answer.finish_reason != expected.finish_reason:
        what = f"it ended by {answer.finish_reason}, alone by {expected.finish_reason}"
        yield ScheduleDifference(answer.key, step, size, what)
    elif bits and answer.logit_digests != expected.logit_digests:
        place = common(answer.logit_digests or (), expected.logit_digests or ())
        yield ScheduleDifference(
            answer.key, step, place, f"logits behind token {place} have other bits"
        )


def lives(events: Sequence[ServedEvent], key: str) -> Iterator[list[ServedEvent]]:
    """The events of a request, once for each time that it was asked."""
    life: list[ServedEvent] = []
    for each in events:
        if each.key == key:
            life.append(each)
            if each.happened in ("given up", "finished"):
                yield life
                life = []
    if life:
        yield life


def common(one: Sequence[int], other: Sequence[int]) -> int:
    """How many leading entries are the same."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))


def step_of(life: Sequence[ServedEvent], place: int) -> int:
    """The step in which the token at a place was told."""
    told = 0
    for each in life:
        told += len(each.tokens)
        if told > place:
            return each.step
    return life[-1].step


def words(told: Sequence[int], expected: Generation, place: int) -> str:
    """A difference of tokens in words."""
    here = f"is {told[place]}" if place < len(told) else "is not there"
    alone = expected.token_ids
    there = f"is {alone[place]}" if place < len(alone) else f"there is none ({len(alone)} tokens)"
    return f"token {place} {here}, alone {there}"


def failure(found: ScheduleDifference, schedule: Schedule, served: Served) -> Finding:
    """The finding of one request that differs."""
    return Finding(
        check=CHECK,
        subject=found.key,
        outcome=Outcome.FAIL,
        reason=Reason.SCHEDULE_DEPENDENT,
        headline=f"{schedule.name}: {found.key} at step {found.step}: {found.what}",
        details=tuple(history(served, found)),
        n=found.place + 1,
    )


def history(served: Served, found: ScheduleDifference) -> list[str]:
    """What had happened to a request by a step, and to others just before it.

    Of others also who was given up or preempted since the request began.
    """
    own = [each.step for each in served.events if each.key == found.key and each.step <= found.step]
    since = min(own, default=found.step)
    notable = [
        each for each in served.events if each.step <= found.step and each.happened != "tokens"
    ]
    ended = {each.key: each for each in notable if each.happened in ("given up", "finished")}
    lines = [
        f"step {each.step}: {each.key} {told(each, ended)}"
        for each in notable
        if each.key == found.key
        or found.step - each.step <= JUST_BEFORE
        or (each.happened in ("given up", "preempted") and each.step >= since)
    ]
    return lines[-MOST_LINES:]


def told(event: ServedEvent, ended: Mapping[str, ServedEvent]) -> str:
    """One event in words."""
    if event.happened == "seated":
        if event.after is None:
            return f"seated in row {event.row}"
        how = ended[event.after].happened if event.after in ended else "preempted"
        return f"seated in row {event.row}, which had served {event.after} ({how})"
    if event.happened != "begun":
        return event.happened
    parts = ["begun"]
    if event.cached:
        whose = f" from {event.source}" if event.source else ""
        parts.append(f"{event.cached} prompt tokens taken over{whose}")
    if event.recomputed:
        parts.append(f"{event.recomputed} output tokens computed again")
    return ", ".join(parts)


def passed(schedule: Schedule, served: Served) -> Finding:
    """The finding of a schedule under which nothing differs."""
    answers = len(served.answers)
    return Finding(
        check=CHECK,
        subject=schedule.name,
        outcome=Outcome.PASS,
        reason=Reason.HELD,
        headline=f"{schedule.name}: {answers} of {answers} answers as alone"
        f"{happened_words(served)}",
        n=len(tokens_of(served.events)),
    )


def happened_words(served: Served) -> str:
    """`` (2 given up, 1 preempted)``; empty: nothing of note happened."""
    counts = (
        (served.count("given up"), "given up"),
        (served.count("preempted"), "preempted"),
        (served.count("taken over"), "prompt tokens taken over"),
        (served.count("refilled"), "refilled rows"),
    )
    happened = ", ".join(f"{count:,} {what}" for count, what in counts if count)
    return f" ({happened})" if happened else ""
