"""Requests with their answers, of a few tokens each."""

from __future__ import annotations

from typing import Any

from equivcheck.checks.events.seen import AnsweredRequest, Seen, StopPlace
from equivcheck.checks.events.vocabulary import BY_ID, RunEvent, count
from equivcheck.core.cases import Sampling
from equivcheck.core.generation import Request
from tests.unit.make import make_generation, make_request, make_steps

HOT = Sampling(temperature=1.0)
PENALISED = Sampling(presence_penalty=1.0)
BIASED = Sampling(logit_bias={7: 1.0})


def answer(
    *steps: tuple[int, ...], stop_place: StopPlace | None = None, **fields: Any
) -> AnsweredRequest:
    """A request and its answer, of steps of ``(drafted, accepted[, emitted])``."""
    told = make_steps(*steps)
    asked = {name: fields.pop(name) for name in list(fields) if name in Request.__struct_fields__}
    length = fields.pop("length", sum(step.emitted for step in told))
    found = make_generation((5,) * length, steps=told, **fields)
    return AnsweredRequest(make_request(**asked), found, stop_place)


def seen(*answers: AnsweredRequest, gamma: int = 4, **fields: Any) -> Seen:
    """One batch of all answers."""
    return Seen(answers=answers, batches=(answers,), gamma=gamma, **fields)


def event(name: str, *answers: AnsweredRequest, **fields: Any) -> RunEvent:
    """One event, counted over one batch."""
    return count(seen(*answers, **fields), BY_ID[name])
