"""What a measurement can hold: outside of these bounds nothing was measured. Pure.

Held when a measurement is read, so that summing it up takes time in proportion to its file.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from equivcheck.core.bounds import (
    LONGEST_RUN_ID,
    RequestLimits,
    out_of_bounds,
    shown,
    unbounded_drafts,
)
from equivcheck.core.generation import Generation
from equivcheck.metrics.records import BenchHeader, BenchRecord, Measured, Probed

MOST_ANSWERS = 1_000_000
"""That a measurement is made of, all arms, points and repeats together."""
MOST = 2**63 - 1


def outside(line: BenchRecord, header: BenchHeader) -> str | None:
    """The first field of a line that lies outside, its value and the bound; None: there is none."""
    if isinstance(line, BenchHeader):
        return unmeasurable(line)
    if isinstance(line, Measured):
        if (line.load is None) is not (header.settings.points[line.point].arrivals is None):
            return "load: there is one where requests come at times of their own, and only there"
        if wrong := _answer(line, tokens=header.settings.tokens):
            return wrong
    if isinstance(line, Probed) and (
        wrong := unbounded_drafts(line.capabilities.num_speculative_tokens)
    ):
        return f"capabilities.{wrong}"
    return next(_numbers(line, ""), None)


def unmeasurable(header: BenchHeader) -> str | None:
    """Why there can be no such measurement; None: there can."""
    settings = header.settings
    if len(header.run) > LONGEST_RUN_ID:
        return f"run: an id of {len(header.run)} characters, at most {LONGEST_RUN_ID}"
    for at, point in enumerate(settings.points):
        if point.batch_size < 1 or point.refills < 0:
            return f"settings.points[{at}]: a batch of {point.batch_size}, {point.refills} refills"
        if point.arrivals and point.arrivals.wrong:
            return f"settings.points[{at}].arrivals: {point.arrivals.wrong}"
    if settings.repeats < 1 or settings.tokens < 1:
        return f"settings: {settings.tokens} tokens, {settings.repeats} repeats; at least 1 of each"
    if settings.objectives and settings.objectives.wrong:
        return f"settings.objectives: {settings.objectives.wrong}"
    prompts = sum(map(len, header.prompts.values()))
    answers = len(settings.points) * len(settings.arms) * prompts * settings.repeats
    if answers > MOST_ANSWERS:
        return f"settings: {answers} answers to measure, at most {MOST_ANSWERS}"
    return None


def _answer(line: Measured, *, tokens: int) -> str | None:
    if wrong := out_of_bounds(line.generation, RequestLimits(tokens=tokens)):
        return f"{line.arm}'s answer to {line.generation.key!r}: {wrong}"
    wrong = overcounted(line.generation)
    if line.load is not None:
        wrong = wrong or line.load.wrong(length=len(line.generation.token_ids))
    return wrong and f"{line.arm}'s answer to {line.generation.key!r}: {wrong}"


def overcounted(answer: Generation) -> str | None:
    """Which counters of an answer's steps cannot be true, in words; None: all can.

    Nothing judges counters here, and times a token would be those of tokens that are not there.
    """
    for at, step in enumerate(answer.steps):
        if not 0 <= step.accepted <= step.drafted:
            return f"steps[{at}] counts {step.accepted} of {step.drafted} drafts as accepted"
    emitted = sum(step.emitted for step in answer.steps)
    if emitted <= len(answer.token_ids):
        return None
    return f"its steps emitted {emitted} tokens, and it has {len(answer.token_ids)}"


def _numbers(line: Struct, where: str) -> Iterator[str]:
    """Numbers below 0, or too large to calculate with. An answer has bounds of its own."""
    for name in line.__struct_fields__:
        value = getattr(line, name)
        if isinstance(value, Struct) and name not in ("generation", "load"):
            yield from _numbers(value, f"{where}{name}.")
        elif isinstance(value, int | float) and not 0 <= value <= MOST:
            told = shown(value) if isinstance(value, int) else f"{value:.4g}"
            yield f"{where}{name} is {told}, outside 0 to {MOST}"
