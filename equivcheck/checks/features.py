"""What is known of a case and of every place of an output, in the words of a diagnosis.

Positions, steps, slots and rows count from 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice

import msgspec

from equivcheck.checks.commonalities import Thing
from equivcheck.checks.populations import penalised
from equivcheck.core.cases import Sampling
from equivcheck.core.escape import visible
from equivcheck.core.generation import Generation, Request
from equivcheck.records.company import Seat
from equivcheck.records.divergence import Role, role_of
from equivcheck.records.records import Evidence, RequestRecord

ROLES: dict[Role, str] = {
    "draft": "an accepted draft",
    "correction": "the correction of a rejected draft",
    "bonus": "the bonus token",
    "plain": "a token of a step without drafts",
}
FIRST_DRAFT = "an accepted draft in slot 0"
SEQUENCE_POSITION = "sequence position"
OUTPUT_TOKEN = "output token"
SLOT = "draft slot"
ACCEPTED_BEFORE = "drafts accepted in the step before"
FIRST_STEP = "in the first verify step"
BORDERS = (16, 64)
"""Sequence positions of which multiples are borders of pages and of prefill chunks."""
_CASES = ("stop", "stop_token_ids", "ignore_eos")
"""Fields of a request that may set it apart."""
_VALUES = (int, float)


def case_features(evidence: Evidence, asked: RequestRecord, seat: Seat | None) -> Thing:
    """What a case was asked with, where and beside whom."""
    request = asked.request
    numbers = {"prompt tokens": len(request.prompt_ids), "max_new_tokens": request.max_new_tokens}
    traits = {f"workload {visible(asked.workload)}", *_parameters(request)}
    if asked.session is not None:
        numbers["turn of its session"] = len(asked.before) + 1
    if seat is not None:
        if seat.row is not None:
            numbers["row"] = seat.row
            traits.add("in a refilled row" if seat.served else "in a row that it was the first in")
        numbers["turn of the engine"] = seat.turn
        others = {key: evidence.asked[key].request for key in seat.beside}
        traits |= set(_company(request, others)) if seat.row is not None or others else set()
    return Thing(numbers, frozenset(traits))


def place_features(request: Request, answer: Generation) -> list[Thing]:
    """What is known of each token of an answer; places after the last reported step know less."""
    prompt = len(request.prompt_ids)
    steps = list(islice(_step_features(answer, prompt=prompt), len(answer.token_ids)))
    return [
        Thing(
            {OUTPUT_TOKEN: index, SEQUENCE_POSITION: prompt + index}
            | (dict(steps[index].numbers) if index < len(steps) else {}),
            steps[index].traits if index < len(steps) else frozenset(),
        )
        for index in range(len(answer.token_ids))
    ]


def _step_features(answer: Generation, *, prompt: int) -> Iterator[Thing]:
    """By token, as far as steps are reported."""
    after = {FIRST_STEP}
    before: dict[str, int] = {}
    start = prompt
    for step in answer.steps:
        for slot in range(step.emitted):
            role = role_of(slot, drafted=step.drafted, accepted=step.accepted)
            roles = {ROLES[role], *([FIRST_DRAFT] if (role, slot) == ("draft", 0) else ())}
            yield Thing({SLOT: slot, **before}, frozenset({*roles, *after}))
        end = start + step.emitted
        after = {
            f"in the step after a block that reached a multiple of {border}"
            for border in BORDERS
            if (start - 1) // border < (end - 1) // border
        }
        if step.accepted < step.drafted:
            after.add("in the step after a rejection")
        elif step.drafted:
            after.add("in the step after full acceptance")
        before, start = {ACCEPTED_BEFORE: step.accepted}, end


def _parameters(request: Request) -> Iterator[str]:
    """Every parameter that is not left at its default, by its name and by its value."""
    yield "greedy" if request.sampling.greedy else "sampled"
    if penalised(request.sampling):
        yield "with a penalty"
    for field in msgspec.structs.fields(Sampling):
        yield from _parameter(field.name, getattr(request.sampling, field.name), field.default)
    for field in msgspec.structs.fields(Request):
        if field.name in _CASES:
            yield from _parameter(field.name, getattr(request, field.name), field.default)


def _parameter(name: str, value: object, default: object) -> Iterator[str]:
    if not value or value == default:
        return
    yield f"with {name}"
    if isinstance(value, _VALUES) and not isinstance(value, bool):
        yield f"{name} {value:g}"


def _company(request: Request, others: Mapping[str, Request]) -> Iterator[str]:
    """What at least one neighbour is."""
    if not others:
        yield "without neighbours"
    length = len(request.prompt_ids)
    for other in others.values():
        yield "beside a greedy request" if other.sampling.greedy else "beside a sampled request"
        if penalised(other.sampling):
            yield "beside a request with a penalty"
        if len(other.prompt_ids) > length:
            yield "beside a longer prompt"
        elif len(other.prompt_ids) < length:
            yield "beside a shorter prompt"
        elif other.prompt_ids != request.prompt_ids:
            yield "beside another prompt of the same length"
        else:
            yield "beside the same prompt"
