"""Limits on the time of an engine in this process."""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable, Iterator, Sequence

import pytest

from equivcheck.core.engine import Capabilities, Engine
from equivcheck.core.engine_tables import TimeLimits
from equivcheck.core.generation import Generation, Request
from equivcheck.engines.limits import Watch, inner, with_limits, within

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")

CLOCK = TimeLimits(open_seconds=0.5, answer_seconds=0.5, token_seconds=0, close_seconds=0.5)
REQUESTS = [Request(key=f"code/{name}", prompt_ids=(1,), max_new_tokens=4) for name in "abc"]


class Slow:
    """Answers everything but ``code/b`` at once."""

    costs = ("1.5 GPU hours",)

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(engine="slow", device="cpu", dtype="float32", num_speculative_tokens=0)

    def generate(self, requests: Sequence[Request]) -> Iterator[Generation]:
        for request in requests:
            if request.key == "code/b":
                time.sleep(600)
            yield Generation(
                key=request.key, token_ids=(5,), finish_reason="length", prompt_tokens=1, steps=()
            )

    def close(self) -> None:
        time.sleep(600)


def ended(work: Callable[[], object]) -> tuple[int, str | None]:
    """The exit code of a process that does `work` under a watch, and what passed there."""
    watch = Watch()
    child = os.fork()
    if child == 0:
        watch.begin()
        try:
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), watch.passed()


def limited() -> Engine:
    return with_limits(Slow(), CLOCK, who="candidate (slow)")


def test_an_answer_that_does_not_come_ends_the_process() -> None:
    code, passed = ended(lambda: list(limited().generate(REQUESTS)))
    assert code == 1
    assert passed is not None
    assert passed.startswith(
        "candidate (slow): the answer to code/b and 1 more took more than 0.5 s (answer_seconds)"
    )
    assert "test_limits.py" in passed
    assert "in generate" in passed


def test_answers_in_time_are_passed_on_and_nothing_is_limited_afterwards() -> None:
    def work() -> None:
        found = list(limited().generate([REQUESTS[0], REQUESTS[2]]))
        assert [answer.key for answer in found] == ["code/a", "code/c"]
        time.sleep(1)
        os._exit(7)

    assert ended(work) == (7, None)


def test_closing_has_a_limit() -> None:
    code, passed = ended(lambda: limited().close())
    assert code == 1
    assert passed is not None
    assert "closing it took more than 0.5 s (close_seconds)" in passed


def test_a_call_that_keeps_the_interpreter_is_ended() -> None:
    def work() -> None:
        with within(0.5, limit="open_seconds", doing="opening it"):
            ctypes.PyDLL(None).pause()

    code, passed = ended(work)
    assert code == 1
    assert passed is not None
    assert passed.startswith("opening it took more than 0.5 s")


def test_off_is_no_limit() -> None:
    def work() -> None:
        clock = TimeLimits(answer_seconds="off", close_seconds="off")
        with within(clock.seconds_to_close(), limit="close_seconds", doing="closing"):
            os._exit(7)

    assert ended(work) == (7, None)


def test_without_a_parent_that_watches_an_engine_stays_itself() -> None:
    engine = Slow()
    assert with_limits(engine, CLOCK, who="it") is engine
    assert inner(engine) is engine


def test_what_looks_inside_finds_the_engine() -> None:
    def work() -> None:
        engine = Slow()
        under = with_limits(engine, CLOCK, who="it")
        assert under is not engine
        assert inner(under) is engine
        assert getattr(under, "costs", None) == engine.costs
        assert under.capabilities == engine.capabilities
        os._exit(7)

    assert ended(work) == (7, None)
