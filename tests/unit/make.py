"""Small constructors for the nouns, so that a test states only what it is about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from equivcheck.core.cases import Case, Suite
from equivcheck.core.engine import Capabilities
from equivcheck.core.generation import FinishReason, Generation, Request, Step, TokenScore
from equivcheck.core.settings import Settings
from equivcheck.records.records import (
    CANDIDATE,
    SAMPLED,
    SCHEMA,
    TARGET,
    Arbitration,
    Evidence,
    Gap,
    GenerationRecord,
    Header,
    RequestRecord,
    Rescored,
    SuiteRef,
)

EOS = 2
VOCAB = 100


def make_steps(*blocks: tuple[int, ...]) -> tuple[Step, ...]:
    """``(drafted, accepted)`` or ``(drafted, accepted, emitted)`` a verify step."""
    return tuple(
        Step(drafted=block[0], accepted=block[1], emitted=block[2] if block[2:] else block[1] + 1)
        for block in blocks
    )


def make_generation(
    token_ids: Sequence[int] = (10, 11, 12, 13),
    *,
    key: str = "code/one",
    finish_reason: FinishReason = "length",
    prompt_tokens: int = 3,
    steps: tuple[Step, ...] = (),
    scores: Iterable[tuple[float, int, float]] | None = None,
    **fields: Any,
) -> Generation:
    return Generation(
        key=key,
        token_ids=tuple(token_ids),
        finish_reason=finish_reason,
        prompt_tokens=prompt_tokens,
        steps=steps,
        scores=None
        if scores is None
        else tuple(
            TokenScore(logprob=own, rival=rival, rival_logprob=other)
            for own, rival, other in scores
        ),
        **fields,
    )


def make_request(key: str = "code/one", **fields: Any) -> Request:
    given: dict[str, Any] = {"prompt_ids": (5, 6, 7), "max_new_tokens": 4} | fields
    return Request(key=key, **given)


def make_asked(request: Request | None = None, *, line: int = 2) -> RequestRecord:
    request = request or make_request()
    workload = request.key.partition("/")[0]
    return RequestRecord(
        request=request, workload=workload, path=f"suites/{workload}.jsonl", line=line
    )


def make_captured(
    arm: str, generation: Generation, *, stop_completed_at: int | None = None
) -> GenerationRecord:
    return GenerationRecord(
        arm=arm, generation=generation, text="text", stop_completed_at=stop_completed_at
    )


def make_capabilities(**fields: Any) -> Capabilities:
    given: dict[str, Any] = {
        "engine": "native:gamma=0",
        "device": "cpu",
        "dtype": "float32",
    } | fields
    return Capabilities(**given)


def make_header(
    *,
    arms: Mapping[str, Capabilities] | None = None,
    planned: Mapping[str, Sequence[str]] | None = None,
    settings: Settings | None = None,
    **fields: Any,
) -> Header:
    if arms is None:
        arms = {
            TARGET: make_capabilities(),
            CANDIDATE: make_capabilities(
                engine="native:gamma=4", num_speculative_tokens=4, reports_steps=True
            ),
        }
    planned = planned or dict.fromkeys(arms, ("code/one",))
    given: dict[str, Any] = {
        "schema": SCHEMA,
        "run": "run-1",
        "created": "2026-01-02T03:04:05Z",
        "suites": (SuiteRef(path="suites/code.jsonl", workload="code", digest="d1", cases=1),),
        "eos_token_ids": (EOS,),
        "vocab_size": VOCAB,
        "environment": {"python": "3.11.2"},
    } | fields
    return Header(
        settings=settings or Settings(),
        arms=dict(arms),
        planned={arm: tuple(keys) for arm, keys in planned.items()},
        **given,
    )


def make_evidence(
    answers: Mapping[str, Sequence[Generation]],
    *,
    requests: Sequence[Request] | None = None,
    arms: Mapping[str, Capabilities] | None = None,
    settings: Settings | None = None,
    planned: Mapping[str, Sequence[str]] | None = None,
    arbitrations: Sequence[Arbitration] = (),
    rescored: Sequence[Rescored] = (),
    completed_at: Mapping[str, int] | None = None,
    **header_fields: Any,
) -> Evidence:
    """Evidence with ``answers`` by arm; requests and capabilities are made up where not given.

    Args:
        completed_at: `GenerationRecord.stop_completed_at` by case key, the same in every arm.
    """
    keys = list(dict.fromkeys(answer.key for given in answers.values() for answer in given))
    asked = requests or [
        make_request(key, max_new_tokens=max(len(a.token_ids) for v in answers.values() for a in v))
        for key in keys
    ]
    speculates = {CANDIDATE, "repeat", "shuffled"}
    arms = arms or {
        arm: make_capabilities(num_speculative_tokens=4 if arm in speculates else 0)
        for arm in answers
    }
    header = make_header(
        arms=arms,
        planned=planned or {arm: [answer.key for answer in answers[arm]] for arm in answers},
        settings=settings,
        **header_fields,
    )
    return Evidence(
        header=header,
        asked={
            request.key: make_asked(request, line=line) for line, request in enumerate(asked, 2)
        },
        captured={
            arm: {
                answer.key: make_captured(
                    arm, answer, stop_completed_at=(completed_at or {}).get(answer.key)
                )
                for answer in given
            }
            for arm, given in answers.items()
        },
        arbitrations=tuple(arbitrations),
        rescored=tuple(rescored),
    )


def make_gaps(*gaps: float, magnitude: float | None = 20.0) -> tuple[Gap, ...]:
    return tuple(Gap(gap=gap, best=10, magnitude=magnitude) for gap in gaps)


def make_arbitration(**fields: Any) -> Arbitration:
    """What the reference says of a near tie at output token 2 of four."""
    tie: dict[str, Any] = {
        "key": "code/one",
        "arm": CANDIDATE,
        "position": 2,
        "reference": "transformers fp32",
        "context": "",
        "target_piece": "",
        "arm_piece": "",
        "target_logprob": -0.7,
        "arm_logprob": -0.75,
        "magnitude": 20.0,
        "target_gaps": make_gaps(0, 0, 0, 0),
        "arm_gaps": make_gaps(0, 0, 0.05, 0),
    }
    return Arbitration(**tie | fields)


def suite_of(cases: Iterable[Case], *, workload: str = "code", **fields: Any) -> Suite:
    """Cases as a suite's file has them: a header, then a line each."""
    held = tuple(cases)
    file: dict[str, Any] = {
        "path": f"suites/{workload}.jsonl",
        "description": "",
        "lines": tuple(range(2, 2 + len(held))),
        "digest": "d",
    }
    return Suite(workload=workload, cases=held, **file | fields)


def make_drawn(
    *draws: Generation,
    told: Capabilities | None = None,
    request: Request | None = None,
    stops: Mapping[str, int | None] | None = None,
) -> Evidence:
    """Evidence that holds draws of ``code/one`` and nothing else.

    Args:
        stops: `SampleRecord.stop_completed_at` by key of the draw; none: no draw was searched.
    """
    header = make_header(
        arms={SAMPLED: told or make_capabilities()}, planned={SAMPLED: ("code/one",)}
    )
    asked = request or make_request(max_new_tokens=3)
    return Evidence(
        header=header,
        asked={asked.key: make_asked(asked)},
        captured={},
        draws={SAMPLED: {draw.key: draw for draw in draws}},
        stops_of_draws={} if stops is None else {SAMPLED: dict(stops)},
    )
