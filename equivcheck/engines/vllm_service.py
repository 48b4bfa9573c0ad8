"""Requests to vLLM's engine core that come and go, each by an id of its own, step by step.

What vLLM tells is what is told here: tokens as they come, how much of a prompt it had in its cache,
and, where its memory is limited by an option, that a request was preempted. Not which row it had.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from equivcheck.core.errors import EngineError
from equivcheck.core.generation import Generation, Request
from equivcheck.core.serving import Happened, ServedEvent


class VllmRequest:
    """A request that has been put to the core and has no answer yet."""

    def __init__(self, request: Request) -> None:
        """Nothing is known of it yet."""
        self.request = request
        self.submitted = time.perf_counter()
        self.begun = False
        self.told = 0
        """Tokens so far."""
        self.preempted = 0
        """How often, as far as vLLM tells."""


class VllmService:
    """One engine core's requests; judges and converts nothing."""

    by_clock = False

    def __init__(
        self,
        core: Any,
        *,
        add: Callable[[str, Request], None],
        answer: Callable[..., Generation],
    ) -> None:
        """Begin with nothing: what was under way is ended, and no block of it is known.

        Args:
            core: vLLM's `LLMEngine`, in this process.
            add: Puts a request to the core under an id; raises an EngineError where it cannot be
                served as asked.
            answer: From a request, vLLM's output, and ``seconds`` since it came, its answer.
        """
        self.core, self.add, self.answer = core, add, answer
        self.under_way: dict[str, VllmRequest] = {}
        """By vLLM's id."""
        self.ids = 0
        self.steps = 0
        self.closed = False
        self.happened: list[ServedEvent] = []

    @property
    def idle(self) -> bool:
        """Whether no request is left."""
        return not self.under_way

    def submit(self, request: Request) -> None:
        """Have a request answered, beside whatever else is.

        Raises:
            EngineError: it cannot be served as asked, or one of its key is under way.
        """
        if self.find(request.key) is not None:
            raise EngineError(f"vllm: {request.key} is being served already")
        self.ids += 1
        name = f"{id(self)}-{self.ids}"
        self.add(name, request)
        self.under_way[name] = VllmRequest(request)

    def find(self, key: str) -> str | None:
        """vLLM's id of the request of a key that is under way."""
        of_key = (name for name, each in self.under_way.items() if each.request.key == key)
        return next(of_key, None)

    def cancel(self, key: str) -> bool:
        """Give a request up, by its id; whether there was one."""
        name = self.find(key)
        if name is None:
            return False
        del self.under_way[name]
        self.core.abort_request([name])
        self.tell("given up", key)
        return True

    def advance(self) -> list[ServedEvent]:
        """One step of the core.

        Raises:
            EngineError: it was put to other work meanwhile.
        """
        if self.closed:
            raise EngineError("vllm: it was put to other work; begin another service")
        self.steps += 1
        if self.under_way:
            for output in self.core.step():
                # What a step in flight still says of a request that was given up is dropped.
                if (each := self.under_way.get(output.request_id)) is not None:
                    self.note(each, output)
        happened, self.happened = self.happened, []
        return happened

    def note(self, each: VllmRequest, output: Any) -> None:
        """Tell what a step made of one request."""
        key, tokens = each.request.key, tuple(output.outputs[0].token_ids)
        preempted = getattr(output.metrics, "num_preemptions", 0)
        if preempted > each.preempted:
            self.tell("preempted", key)
        if not each.begun:
            self.tell("begun", key, cached=output.num_cached_tokens or 0)
        elif preempted > each.preempted:
            self.tell("begun", key, recomputed=each.told)
        each.begun, each.preempted = True, preempted
        if len(tokens) > each.told:
            self.tell("tokens", key, tokens=tokens[each.told :])
            each.told = len(tokens)
        if output.finished:
            del self.under_way[output.request_id]
            seconds = time.perf_counter() - each.submitted
            generation = self.answer(each.request, output.outputs[0], seconds=seconds)
            self.tell("finished", key, generation=generation)

    def answers(self) -> Iterator[Generation]:
        """All that is left to be answered, each as soon as it is."""
        while self.under_way:
            for each in self.advance():
                if each.generation is not None:
                    yield each.generation

    def close(self) -> None:
        """Give up whatever is under way, and let what is in flight of it land; once."""
        if self.closed:
            return
        self.closed = True
        if self.under_way:
            self.core.abort_request(list(self.under_way))
            self.under_way.clear()
        while self.core.has_unfinished_requests():
            self.core.step()

    def tell(self, happened: Happened, key: str, **details: Any) -> None:
        """Note an event."""
        self.happened.append(ServedEvent(step=self.steps, key=key, happened=happened, **details))
