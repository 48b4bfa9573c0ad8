"""Dialect `tensorrt-llm`: `trtllm-serve`, by its published source. Not run against a real server.

Ids come where nothing is detokenised, so stop strings are refused. Its answers do not count their
drafts.
"""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

from equivcheck.core.errors import EngineError
from equivcheck.core.generation import Generation, Request
from equivcheck.engines.http.completions import (
    COMPLETIONS,
    CompletionsResponse,
    card_now,
    choose_model,
    extended_body,
    models,
    only_choice,
    swapped,
    version_of,
)
from equivcheck.engines.http.dialect import (
    Ending,
    PairWords,
    ServerCapabilities,
    ServerOptions,
    ended,
    read,
    trial_request,
)
from equivcheck.engines.http.wire import Wire

REFUSES = ("stop", "banned_tokens", "repetition_penalty", "presence_penalty", "frequency_penalty")
"""Whether its penalties count the prompt depends on how it was built."""


class TensorrtLlmDialect:
    """TensorRT-LLM in its own words."""

    def __init__(self, wire: Wire, pair: PairWords, asked: ServerOptions) -> None:
        self.wire, self.pair, self.asked = wire, pair, asked
        self.model = ""

    def open(self) -> ServerCapabilities:
        """Ask for model and version, and try a request of one token."""
        self.model = choose_model(models(self.wire), self.asked, wire=self.wire).id
        self.answer(trial_request())
        return ServerCapabilities(
            versions={"tensorrt-llm": version_of(self.wire), "model": PurePath(self.model).name},
            gamma=self.asked.gamma or 0,
            counts=False,
            refuses=REFUSES,
            ranges={"logit_bias": (-100.0, 100.0)},
            notes=(
                "this dialect was written from the server's source and not run against one",
                "the server does not say whether it speculates",
            ),
        )

    def identity(self) -> dict[str, str]:
        """Name of the model."""
        return {"model": card_now(self.model, wire=self.wire).id}

    def answer(self, request: Request) -> Generation:
        """One completion, ids in and ids out.

        Raises:
            EngineError: it has no ids, is one to another prompt, or did not end.
        """
        reply = self.wire.post(COMPLETIONS, self.body(request))
        answer = read(reply, CompletionsResponse, wire=self.wire, path=COMPLETIONS)
        choice = only_choice(answer.choices, request, wire=self.wire)
        if wrong := swapped(request, choice, answer.usage):
            raise EngineError(f"{self.wire.url}: {wrong}")
        token_ids, reason = ended(
            choice.token_ids or (), request, self.pair, Ending(choice.finish_reason == "stop")
        )
        return Generation(
            key=request.key,
            token_ids=token_ids,
            finish_reason=reason,
            prompt_tokens=len(request.prompt_ids),
            total_seconds=reply.seconds,
        )

    def body(self, request: Request) -> dict[str, Any]:
        """The request in its words; it takes no field that it does not know."""
        body = extended_body(request, self.model, eos_token_ids=self.pair.eos_token_ids, no_top_k=0)
        return body | {
            "detokenize": False,
            "include_stop_str_in_output": True,
            "add_special_tokens": False,
        }
