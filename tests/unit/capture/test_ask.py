"""Asking engines that break in every way that engines break."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

import msgspec
import numpy as np
import pytest

from equivcheck.capture.ask import ask, closing
from equivcheck.core.cases import Sampling
from equivcheck.core.engine import Capabilities
from equivcheck.core.errors import LONGEST_MESSAGE, EngineError, EngineGoneError
from equivcheck.core.generation import Generation, Request
from equivcheck.records.records import Failed
from tests.unit.make import make_capabilities, make_generation, make_request, make_steps

REQUESTS = [make_request(f"code/{name}") for name in "abcd"]


class Scripted:
    """An engine whose answers a function makes."""

    def __init__(self, answer: Callable[[Sequence[Request]], Iterator[Generation]]) -> None:
        self.answer = answer
        self.calls: list[list[str]] = []

    @property
    def capabilities(self) -> Capabilities:
        return make_capabilities(engine="scripted")

    def generate(self, requests: Sequence[Request]) -> Iterator[Generation]:
        self.calls.append([request.key for request in requests])
        return self.answer(requests)

    def close(self) -> None:
        self.calls.clear()


def answers_all(requests: Sequence[Request]) -> Iterator[Generation]:
    for request in reversed(requests):
        yield make_generation(key=request.key)


def refuses_b(requests: Sequence[Request]) -> Iterator[Generation]:
    for request in requests:
        if request.key == "code/b":
            raise EngineError("cannot serve code/b: too long")
    yield from answers_all(requests)


def dies_after_two(requests: Sequence[Request]) -> Iterator[Generation]:
    for request in requests[:2]:
        yield make_generation(key=request.key)
    if len(requests) > 2:
        raise RuntimeError("out of memory")


def outcomes(engine: Scripted) -> tuple[list[str], dict[str, str]]:
    found = list(ask(engine, REQUESTS, arm="candidate"))
    answered = [each.key for each in found if isinstance(each, Generation)]
    return answered, {each.key: each.message for each in found if isinstance(each, Failed)}


def test_answers_come_in_the_engines_order() -> None:
    answered, failed = outcomes(Scripted(answers_all))
    assert answered == ["code/d", "code/c", "code/b", "code/a"]
    assert not failed


def test_one_refused_request_costs_no_other_its_answer() -> None:
    engine = Scripted(refuses_b)
    answered, failed = outcomes(engine)
    assert answered == ["code/a", "code/c", "code/d"]
    assert failed == {"code/b": "cannot serve code/b: too long"}
    assert [len(call) for call in engine.calls] == [4, 1, 1, 1, 1]


def test_what_was_answered_before_a_crash_is_kept() -> None:
    engine = Scripted(dies_after_two)
    answered, failed = outcomes(engine)
    assert answered == ["code/a", "code/b", "code/c", "code/d"]
    assert not failed
    assert engine.calls == [[r.key for r in REQUESTS], ["code/c"], ["code/d"]]


def test_a_crash_is_told_in_one_line_with_its_kind() -> None:
    def dies(requests: Sequence[Request]) -> Iterator[Generation]:
        raise RuntimeError("\nout of memory\nat line 7")

    _, failed = outcomes(Scripted(dies))
    assert set(failed.values()) == {"RuntimeError: out of memory"}

    def dies_wordless(requests: Sequence[Request]) -> Iterator[Generation]:
        raise KeyError

    assert set(outcomes(Scripted(dies_wordless))[1].values()) == {"KeyError()"}

    def dies_verbosely(requests: Sequence[Request]) -> Iterator[Generation]:
        raise ValueError("x" * 10_000)

    assert {len(words) for words in outcomes(Scripted(dies_verbosely))[1].values()} == {
        LONGEST_MESSAGE
    }


def test_an_engine_that_is_gone_ends_the_run_and_is_not_asked_again() -> None:
    def answer(requests: Sequence[Request]) -> Iterator[Generation]:
        yield make_generation(key=requests[0].key)
        raise EngineGoneError("killed")

    engine = Scripted(answer)
    answers = ask(engine, REQUESTS, arm="candidate")
    assert next(answers) == make_generation(key="code/a")
    with pytest.raises(EngineGoneError, match="killed"):
        next(answers)
    assert len(engine.calls) == 1


def test_ending_early_is_a_failure() -> None:
    answered, failed = outcomes(Scripted(lambda requests: answers_all(requests[:3])))
    assert len(answered) == 3
    assert failed == {"code/d": "the engine ended without an answer"}


@pytest.mark.parametrize(
    ("keys", "complaint"),
    [
        (("code/a", "code/a"), r"candidate \(scripted\) answered 'code/a' twice"),
        (("code/z",), "answered 'code/z' without having been asked"),
        (("\x1b[2J",), r"answered '\\\\x1b\[2J' without"),
    ],
)
def test_an_answer_nobody_asked_for_ends_the_run(keys: tuple[str, ...], complaint: str) -> None:
    engine = Scripted(lambda requests: (make_generation(key=key) for key in keys))
    with pytest.raises(EngineError, match=complaint):
        outcomes(engine)


def test_breaking_after_the_last_answer_is_no_clean_end() -> None:
    def dies_at_the_end(requests: Sequence[Request]) -> Iterator[Generation]:
        yield from answers_all(requests)
        raise OSError("gone")

    with pytest.raises(EngineError, match="broke after its last answer: OSError: gone"):
        outcomes(Scripted(dies_at_the_end))


def test_leaving_python_is_a_failure_like_any_other() -> None:
    def leaves_on_b(requests: Sequence[Request]) -> Iterator[Generation]:
        for request in requests:
            if request.key == "code/b":
                sys.exit(0)
            yield make_generation(key=request.key)

    answered, failed = outcomes(Scripted(leaves_on_b))
    assert answered == ["code/a", "code/c", "code/d"]
    assert failed == {"code/b": "SystemExit: 0"}


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"token_ids": (10, 11.0)}, "token_ids[1]: expected `int`, got `float`"),
        ({"token_ids": (True,)}, "token_ids[0]: expected `int`, got `bool`"),
        ({"token_ids": None}, "token_ids: expected `array`, got `null`"),
        ({"token_ids": (np.int64(3),)}, "token_ids: Encoding objects of type numpy.int64 is"),
        ({"steps": (3,)}, "steps[0]: expected `array`, got `int`"),
        ({"finish_reason": "stopp"}, "finish_reason: 'stopp' is not a valid value (did you mean"),
    ],
)
def test_an_answer_of_the_wrong_types_fails_alone(fields: dict[str, Any], complaint: str) -> None:
    def mistypes_b(requests: Sequence[Request]) -> Iterator[Generation]:
        for given in answers_all(requests):
            wrong = given.key == "code/b"
            yield msgspec.structs.replace(given, **fields) if wrong else given

    engine = Scripted(mistypes_b)
    answered, failed = outcomes(engine)
    assert answered == ["code/d", "code/c", "code/a"]
    assert failed["code/b"].startswith(f"no record can hold its answer: {complaint}")
    assert len(engine.calls) == 1


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ("hello", "a value of type str as an answer, not Generation"),
        (None, "a value of type NoneType as an answer, not Generation"),
        (make_generation(key=["code/a"]), "an answer whose key is of type list, not str"),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_answer_ends_the_run(given: Any, complaint: str) -> None:
    with pytest.raises(EngineError, match=rf"^candidate \(scripted\) gave {complaint}$"):
        outcomes(Scripted(lambda requests: iter([given])))


def test_an_engine_that_breaks_as_it_is_closed_is_named_and_hides_no_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    engine = Scripted(answers_all)
    engine.close = lambda: sys.exit("\x1b[31mbye")  # type: ignore[method-assign]
    with pytest.raises(OSError, match="disk full"), closing(engine, arm="candidate"):
        raise OSError("disk full")
    (record,) = caplog.records
    assert record.getMessage() == (
        "candidate (scripted) broke as it was closed: SystemExit: \\x1b[31mbye"
    )


def test_an_interrupt_is_no_failure_of_the_engine() -> None:
    def interrupted(requests: Sequence[Request]) -> NoReturn:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        outcomes(Scripted(interrupted))


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"steps": make_steps((10**8, 0))}, "steps[0].drafted is 100000000, outside 0 to 1024"),
        ({"token_ids": (1,) * 10**7}, "token_ids has 10000000 entries, more than the 4 tokens"),
        ({"prompt_tokens": 10**9}, "prompt_tokens is 1000000000, but the prompt has 3"),
        ({"total_seconds": float("nan")}, "total_seconds is nan, not a finite number of seconds"),
    ],
)
def test_an_answer_that_no_decoder_can_mean_fails_alone(
    fields: dict[str, Any], complaint: str
) -> None:
    def answers(requests: Sequence[Request]) -> Iterator[Generation]:
        for given in answers_all(requests):
            yield msgspec.structs.replace(given, **fields) if given.key == "code/b" else given

    answered, failed = outcomes(Scripted(answers))
    assert answered == ["code/d", "code/c", "code/a"]
    assert failed["code/b"].startswith(f"no decoder can mean its answer to 'code/b': {complaint}")


def test_what_an_engine_does_to_its_requests_no_other_arm_is_asked() -> None:
    def changes(requests: Sequence[Request]) -> Iterator[Generation]:
        for request in requests:
            request.sampling.logit_bias.clear()
            msgspec.structs.force_setattr(request, "max_new_tokens", 1)
            msgspec.structs.force_setattr(request.sampling, "temperature", 9.0)
        yield from answers_all(requests)

    sampling = Sampling(temperature=1.0, logit_bias={3: 1.0})
    asked = [make_request("code/a", sampling=sampling)]
    assert len(list(ask(Scripted(changes), asked, arm="candidate"))) == 1
    assert asked == [
        make_request("code/a", sampling=Sampling(temperature=1.0, logit_bias={3: 1.0}))
    ]
