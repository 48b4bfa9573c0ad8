"""Hostile answers, a way each: a field with what it cannot hold, or nothing that is an answer."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from msgspec.structs import replace

from equivcheck.core.generation import Generation, Step, TokenScore

NUMBERS: tuple[Any, ...] = (math.nan, math.inf, -math.inf, "1", b"1", [], {}, 1.5j)
COUNTS: tuple[Any, ...] = (*NUMBERS, None, -3, 1.5, 10**8, 2**63, 10**5000, -(10**30))
TIMES: tuple[Any, ...] = (*NUMBERS, -1.0, -(10**400), 10**400)
IDS: tuple[Any, ...] = (
    None, 7, "ids", b"ids", {}, object(), (None,), ("300",), (1.5,), (math.nan,), ((300,),),
    (2**31,), (-(2**31) - 1,), (2**64,), (10**5000,), (300,) * 5000, [300] * 10**6,
)  # fmt: skip
SCORES: tuple[Any, ...] = (
    7, "scores", {}, (None,), (1.5,), ("x",), ((-1.0, 1, -2.0),),
    (TokenScore(logprob=math.nan, rival=1, rival_logprob=-1.0),),
    (TokenScore(logprob=-1.0, rival=1, rival_logprob=-math.inf),),
    (TokenScore(logprob=-1.0, rival=2**40, rival_logprob=-1.0),),
    (TokenScore(logprob=-1.0, rival=-(10**400), rival_logprob=-1.0),),
    (TokenScore(logprob=-1.0, rival=1, rival_logprob=-1.0),) * 5000,
)  # fmt: skip
DIGESTS: tuple[Any, ...] = (
    7, "x", {}, (None,), (1.5,), (2**64,), (-(2**64),), (10**5000,), (1,) * 5000,
)  # fmt: skip
REASONS: tuple[Any, ...] = (None, "", "done", 7, b"eos", ["eos"], "eos\u202e", "x" * 10**6)
STEPS: tuple[Any, ...] = (None, 7, "steps", {}, (None,), (1,), ("x",), ({},), ((1, 1, 1),))
FIELDS: dict[str, tuple[Any, ...]] = {
    "token_ids": IDS,
    "finish_reason": REASONS,
    "prompt_tokens": COUNTS,
    "steps": STEPS,
    "scores": SCORES,
    "logit_digests": DIGESTS,
    "prefill_seconds": TIMES,
    "total_seconds": TIMES,
}
STEP_FIELDS: dict[str, tuple[Any, ...]] = {
    "drafted": COUNTS,
    "accepted": COUNTS,
    "emitted": COUNTS,
    "seconds": TIMES,
    "rejected": tuple(each for each in COUNTS if each not in (None, -3, 10**8)),
}
NO_ANSWERS: dict[str, Any] = {
    "nothing": None,
    "text": "an answer",
    "a number": 7,
    "a mapping": {"key": "code/c0"},
    "an object": object(),
    "the class": Generation,
    "an error": RuntimeError("given, not raised"),
    "a list": [],
}
KEYS: tuple[Any, ...] = (None, "", 7, b"code/c0", "code/none", "\ud800", "c" * 10**6, ("code/c0",))


def wild() -> Iterator[tuple[str, Callable[[Generation], object]]]:
    """Name and way of each answer that is one failed answer and costs no other."""
    for field, values in FIELDS.items():
        for at, value in enumerate(values):
            yield f"{field}-{at}", partial(replace, **{field: value})
    for field, values in STEP_FIELDS.items():
        for at, value in enumerate(values):
            yield f"step-{field}-{at}", partial(_with_step, field=field, value=value)


def unasked() -> Iterator[tuple[str, Callable[[Generation], object]]]:
    """Name and way of each that ends the run: nobody can tell what it answers."""
    for name, value in NO_ANSWERS.items():
        yield name.replace(" ", "-"), partial(_instead, value=value)
    for at, key in enumerate(KEYS):
        yield f"key-{at}", partial(replace, key=key)


def _with_step(answer: Generation, *, field: str, value: object) -> Generation:
    step = replace(Step(drafted=1, accepted=0, emitted=1), **{field: value})
    return replace(answer, steps=(step, *answer.steps[1:]))


def _instead(answer: Generation, *, value: object) -> object:
    return value


WILD: dict[str, Callable[[Generation], object]] = {**dict(wild()), **dict(unasked())}
