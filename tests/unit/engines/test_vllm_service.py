"""vLLM's engine core as a service, on a core that does what vLLM's does: no vLLM is needed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from equivcheck.capture.serve import ScheduleRun
from equivcheck.core.errors import EngineError
from equivcheck.core.generation import Generation, Request
from equivcheck.core.service_schedule import Arrival, Schedule, Served
from equivcheck.core.times import Delay, Patience
from equivcheck.engines.vllm_service import VllmService


class Core:
    """Counts on from a prompt's last token, all requests at once; what was aborted is in flight."""

    def __init__(self) -> None:
        self.requests: dict[str, Request] = {}
        self.out: dict[str, list[int]] = {}
        self.aborted: list[str] = []
        self.in_flight: set[str] = set()
        self.preempts = ""
        """Key of who is preempted once, behind its second token."""

    def add(self, name: str, request: Request) -> None:
        if request.max_new_tokens > 50:
            raise EngineError(f"vllm: cannot serve {request.key}: too long")
        self.requests[name], self.out[name] = request, []

    def abort_request(self, names: list[str]) -> None:
        self.aborted += names
        self.in_flight |= set(names)

    def has_unfinished_requests(self) -> bool:
        return bool(self.requests)

    def step(self) -> list[Any]:
        found = []
        for name, request in list(self.requests.items()):
            tokens = self.out[name]
            tokens.append(request.prompt_ids[-1] + len(tokens) + 1)
            finished = len(tokens) == request.max_new_tokens
            preempted = request.key == self.preempts and len(tokens) > 2
            found.append(
                SimpleNamespace(
                    request_id=name,
                    outputs=[SimpleNamespace(token_ids=list(tokens))],
                    num_cached_tokens=16,
                    metrics=SimpleNamespace(num_preemptions=1) if preempted else None,
                    finished=finished,
                )
            )
            if finished or name in self.in_flight:
                del self.requests[name]
        return found


def answer(request: Request, output: Any, *, seconds: float) -> Generation:
    assert seconds > 0
    return Generation(
        key=request.key,
        token_ids=tuple(output.token_ids),
        finish_reason="length",
        prompt_tokens=len(request.prompt_ids),
    )


def request(key: str) -> Request:
    first = {"a": 100, "b": 200, "c": 300}[key]
    return Request(key=key, prompt_ids=(first,), max_new_tokens=6)


def begun(core: Core) -> VllmService:
    return VllmService(core, add=core.add, answer=answer)


def served(core: Core, *arrivals: Arrival) -> Served:
    return ScheduleRun(begun(core), Schedule(name="s", arrivals=arrivals), request).whole()


def test_what_is_given_up_is_aborted_by_its_id_and_comes_again_under_another() -> None:
    core = Core()
    again = Arrival(key="a", give_up_after=Patience(tokens=2), retry=Delay(step=1))
    found = served(core, again, Arrival(key="b"))
    assert len(core.aborted) == 1
    assert found.answers["a"].token_ids == (101, 102, 103, 104, 105, 106)
    assert found.answers["b"].token_ids == (201, 202, 203, 204, 205, 206)
    of_a = [(each.happened, len(each.tokens)) for each in found.events if each.key == "a"]
    # What was in flight as it was given up is told of nobody.
    assert of_a[:4] == [("begun", 0), ("tokens", 1), ("tokens", 1), ("given up", 0)]
    assert of_a[4:] == [("begun", 0), *[("tokens", 1)] * 6, ("finished", 0)]
    assert found.count("taken over") == 3 * 16


def test_preemption_is_told_with_what_was_computed_again() -> None:
    core = Core()
    core.preempts = "b"
    found = served(core, Arrival(key="a"), Arrival(key="b"))
    (lost,) = found.of("preempted")
    assert (lost.key, lost.step) == ("b", 3)
    assert [each.recomputed for each in found.of("begun") if each.key == "b"] == [0, 2]


def test_a_key_that_is_being_served_is_refused_and_a_refusal_costs_nobody_an_answer() -> None:
    core = Core()
    service = begun(core)
    service.submit(request("a"))
    with pytest.raises(EngineError, match="a is being served already"):
        service.submit(request("a"))
    with pytest.raises(EngineError, match="too long"):
        service.submit(Request(key="b", prompt_ids=(1,), max_new_tokens=60))
    assert not service.cancel("b")
    assert [each.key for each in service.answers()] == ["a"]
    assert service.idle


def test_one_that_was_closed_leaves_nothing_behind_and_says_so() -> None:
    core = Core()
    service = begun(core)
    service.submit(request("a"))
    service.advance()
    service.close()
    assert not core.has_unfinished_requests()
    with pytest.raises(EngineError, match="begin another service"):
        service.advance()
    after = begun(core)
    after.submit(request("c"))
    # A generator that is dropped late closes once more, and takes nothing from the next service.
    service.close()
    assert [each.token_ids[0] for each in after.answers()] == [301]
