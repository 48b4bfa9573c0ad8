from __future__ import annotations

from typing import Any

import pytest

from equivcheck.checks.stopping import check, faults_of
from equivcheck.core.cases import Sampling
from equivcheck.core.findings import Outcome, Reason
from equivcheck.core.generation import FinishReason
from equivcheck.records.records import CANDIDATE, TARGET
from tests.unit.make import (
    EOS,
    VOCAB,
    make_captured,
    make_drawn,
    make_evidence,
    make_generation,
    make_header,
    make_request,
)

STOP = 50


def faults(
    token_ids: tuple[int, ...],
    finish_reason: FinishReason,
    *,
    completed: int | None = None,
    sampling: Sampling | None = None,
    **request: Any,
) -> list[str]:
    answer = make_captured(
        TARGET,
        make_generation(token_ids, finish_reason=finish_reason),
        stop_completed_at=completed,
    )
    asked = make_request(sampling=sampling or Sampling(), **request)
    return [fault.what for fault in faults_of(answer, request=asked, header=make_header())]


HELD: dict[str, tuple[tuple[int, ...], FinishReason, dict[str, Any]]] = {
    "length": ((10, 11, 12, 13), "length", {}),
    "eos": ((10, EOS), "eos", {}),
    "eos-at-the-limit": ((10, 11, 12, EOS), "eos", {}),
    "eos-first": ((EOS,), "eos", {}),
    "eos-ignored": ((10, EOS, 12, EOS), "length", {"ignore_eos": True}),
    "stop-id": ((10, STOP), "stop", {"stop_token_ids": (STOP,)}),
    "stop-id-that-is-eos": ((10, EOS), "stop", {"stop_token_ids": (EOS,)}),
    "eos-that-is-stop-id": ((10, EOS), "eos", {"stop_token_ids": (EOS,)}),
    "stop-string": ((10, 11), "stop", {"stop": ("x",), "completed": 1}),
    "stop-string-at-the-limit": ((10, 11, 12, 13), "stop", {"stop": ("x",), "completed": 3}),
    "min-reached": ((10, 11, EOS), "eos", {"sampling": Sampling(min_new_tokens=2)}),
    "bans": ((10, 11, 12, 13), "length", {"sampling": Sampling(banned_tokens=(5,))}),
}


@pytest.mark.parametrize(("tokens", "reason", "fields"), HELD.values(), ids=HELD)
def test_right_endings(
    tokens: tuple[int, ...], reason: FinishReason, fields: dict[str, Any]
) -> None:
    assert faults(tokens, reason, **fields) == []


BROKEN: dict[str, tuple[tuple[int, ...], FinishReason, dict[str, Any], str]] = {
    "empty": ((), "length", {}, "no token at all"),
    "too-long": ((1, 3, 4, 5, 6), "length", {}, "5 tokens, 4 allowed"),
    "short-length": ((1, 3), "length", {}, "says 'length' after 2 tokens, 4 allowed"),
    "past-eos": ((1, EOS, 3, 4), "length", {}, "2 tokens after stop id 2 at 1"),
    "past-eos-in-block": ((EOS, 3, EOS), "eos", {}, "2 tokens after stop id 2 at 0"),
    "past-stop-id": (
        (1, STOP, 3, 4),
        "length",
        {"stop_token_ids": (STOP,)},
        "2 tokens after stop id 50 at 1",
    ),
    "past-stop-string": (
        (1, 3, 4, 5),
        "length",
        {"stop": ("x",), "completed": 1},
        "2 tokens after a stop string, complete at 1",
    ),
    "length-hides-eos": (
        (1, 3, 4, EOS),
        "length",
        {},
        "says 'length', its last token 2 says eos",
    ),
    "length-hides-stop": (
        (1, 3, 4, 5),
        "length",
        {"stop": ("x",), "completed": 3},
        "says 'length', its last token 5 says stop",
    ),
    "eos-without-one": ((1, 3), "eos", {}, "says 'eos', its last token 3 says nothing"),
    "eos-though-ignored": (
        (1, EOS),
        "eos",
        {"ignore_eos": True},
        "says 'eos', its last token 2 says nothing",
    ),
    "stop-without-one": (
        (1, 3, 4, 5),
        "stop",
        {"stop": ("x",)},
        "says 'stop', its last token 5 says length",
    ),
    "too-early": (
        (1, EOS),
        "eos",
        {"sampling": Sampling(min_new_tokens=2)},
        "stops at token 1; no stop id before token 2",
    ),
    "banned": (
        (1, 5, 6, 7),
        "length",
        {"sampling": Sampling(banned_tokens=(5,))},
        "token 1 is id 5, which is banned",
    ),
    "out-of-vocabulary": ((1, VOCAB, 6, 7), "length", {}, "token 1 is id 100, of 100 ids"),
    "placeholder": ((1, -1, 6, 7), "length", {}, "token 1 is id -1, of 100 ids"),
}


@pytest.mark.parametrize(("tokens", "reason", "fields", "what"), BROKEN.values(), ids=BROKEN)
def test_wrong_endings(
    tokens: tuple[int, ...], reason: FinishReason, fields: dict[str, Any], what: str
) -> None:
    assert faults(tokens, reason, **fields) == [what]


def test_every_arm_is_held_and_named() -> None:
    good, bad = make_generation(), make_generation((1, EOS, 3, 4))
    evidence = make_evidence({TARGET: [good], CANDIDATE: [bad]})
    case, summary = check(evidence)
    assert (case.subject, case.outcome, case.reason) == (
        "code/one",
        Outcome.FAIL,
        Reason.STOP_RULE,
    )
    assert case.headline == "candidate: 2 tokens after stop id 2 at 1"
    assert case.repeat == "equivcheck replay run-1 code/one"
    assert (summary.subject, summary.outcome) == ("code", Outcome.FAIL)
    assert summary.headline == "1 output of 2 broke a stop or length rule"


def test_held_rules_are_counted() -> None:
    (summary,) = check(make_evidence({TARGET: [make_generation()], CANDIDATE: [make_generation()]}))
    assert (summary.outcome, summary.reason, summary.n) == (Outcome.PASS, Reason.HELD, 2)
    assert summary.headline == "stop and length rules held on 2 outputs"


def test_many_faults_are_bounded() -> None:
    evidence = make_evidence(
        {TARGET: [make_generation((-1,) * 100)], CANDIDATE: [make_generation((1,) * 100)]}
    )
    case = check(evidence)[0]
    assert len(case.details) == 6
    assert case.details[-1] == "and 95 more"


def test_draws_end_where_they_have_to() -> None:
    evidence = make_drawn(
        make_generation((10, 11, 12), key="code/one#1"),
        make_generation((10, EOS, 12), key="code/one#2"),
        make_generation((10, 11, 12, 13), key="code/one#3"),
        make_generation((10, 11, VOCAB), key="code/one#4"),
    )
    broken, workload = check(evidence)
    assert (broken.subject, broken.headline) == (
        "code/one",
        "sampled: 1 token after stop id 2 at 1",
    )
    assert broken.details == ("in code/one#2",)
    assert workload.headline == "3 outputs of 4 broke a stop or length rule"


STOPPING = make_request(max_new_tokens=3, stop=("x",))


def test_draws_are_held_to_their_stop_strings() -> None:
    evidence = make_drawn(
        make_generation((10, 11), key="code/one#1", finish_reason="stop"),
        make_generation((10, 11, 12), key="code/one#2"),
        make_generation((10, 11, 12), key="code/one#3"),
        request=STOPPING,
        stops={"code/one#1": 1, "code/one#2": None, "code/one#3": 0},
    )
    broken, workload = check(evidence)
    assert broken.headline == "sampled: 2 tokens after a stop string, complete at 0"
    assert broken.details[0] == "in code/one#3"
    assert workload.headline == "1 output of 3 broke a stop or length rule"


def test_draws_that_were_not_searched_for_stop_strings_are_not_counted() -> None:
    draws = [
        make_generation((10, 11), key=f"code/one#{number}", finish_reason="stop")
        for number in (1, 2, 3)
    ]
    (workload,) = check(make_drawn(*draws, request=STOPPING, stops={"code/one#2": 1}))
    assert (workload.outcome, workload.n) == (Outcome.PASS, 1)
    assert workload.headline == "stop and length rules held on 1 output, 2 draws not judged"
    assert workload.details[0].startswith("not judged: draws of requests with stop strings")
    (workload,) = check(make_drawn(*draws, request=STOPPING))
    assert (workload.outcome, workload.reason) == (Outcome.INCONCLUSIVE, Reason.NOTHING_COMPARED)
    assert workload.headline == "no output was judged of 3 draws"


def test_draws_that_were_not_searched_are_held_to_their_tokens() -> None:
    wild = make_generation((VOCAB,), key="code/one#1", finish_reason="stop")
    broken, workload = check(make_drawn(wild, request=STOPPING))
    assert broken.headline == f"sampled: token 0 is id {VOCAB}, of {VOCAB} ids"
    assert workload.headline == "1 output of 1 broke a stop or length rule"
