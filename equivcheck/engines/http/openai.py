"""Dialect `openai`: any server of `/v1/completions`, by the fields of OpenAI's API and no more.

It has to give token ids (`return_token_ids`): text alone is refused.
"""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

from equivcheck.core.errors import EngineError
from equivcheck.core.generation import Generation, Request
from equivcheck.engines.http.completions import (
    COMPLETIONS,
    Answer,
    card_now,
    choose_model,
    common_body,
    models,
    only_choice,
    swapped,
)
from equivcheck.engines.http.dialect import (
    Asked,
    Ending,
    PairWords,
    Told,
    ended,
    read,
    trial_request,
)
from equivcheck.engines.http.wire import Wire
from equivcheck.engines.vllm_answer import RANGES

REFUSES = (
    "top_k",
    "min_p",
    "repetition_penalty",
    "banned_tokens",
    "min_new_tokens",
    "stop_token_ids",
    "ignore_eos",
)


class OpenaiDialect:
    """The fields that every server of the API has."""

    def __init__(self, wire: Wire, pair: PairWords, asked: Asked) -> None:
        """Nothing is asked yet."""
        self.wire, self.pair, self.asked = wire, pair, asked
        self.model = ""

    def open(self) -> Told:
        """Ask for the model, and try a request of one token."""
        self.model = choose_model(models(self.wire), self.asked, wire=self.wire).id
        request = trial_request()
        reply = self.wire.post(COMPLETIONS, self.body(request))
        tried = read(reply, Answer, wire=self.wire, path=COMPLETIONS)
        only_choice(tried.choices, request, wire=self.wire)
        return Told(
            versions={"model": PurePath(self.model).name},
            gamma=self.asked.gamma or 0,
            counts=False,
            refuses=REFUSES,
            ranges=RANGES,
            notes=("the server does not say whether it speculates",),
        )

    def identity(self) -> dict[str, str]:
        """Name and root of the model."""
        card = card_now(self.model, wire=self.wire)
        return {"model": card.id, "root": str(card.root)}

    def answer(self, request: Request) -> Generation:
        """One completion, ids in and ids out.

        Raises:
            EngineError: it has no ids, or ended before a stop or the limit of the request.
        """
        reply = self.wire.post(COMPLETIONS, self.body(request))
        answer = read(reply, Answer, wire=self.wire, path=COMPLETIONS)
        choice = only_choice(answer.choices, request, wire=self.wire)
        if wrong := swapped(request, choice, answer.usage):
            raise EngineError(f"{self.wire.url}: {wrong}")
        found = choice.token_ids or ()
        stopped = choice.finish_reason == "stop"
        by_string = stopped and isinstance(choice.stop_reason, str)
        if choice.finish_reason == "length" and len(found) < request.max_new_tokens:
            raise EngineError(
                f"{self.wire.url}: {request.key} ended at {len(found)} of "
                f"{request.max_new_tokens} tokens, at a limit of the server's own"
            )
        token_ids, reason = ended(found, request, self.pair, Ending(stopped, by_string))
        return Generation(
            key=request.key,
            token_ids=token_ids,
            finish_reason=reason,
            prompt_tokens=len(request.prompt_ids),
            total_seconds=reply.seconds,
        )

    def body(self, request: Request) -> dict[str, Any]:
        """The request in its words."""
        bias = request.sampling.logit_bias
        return common_body(request, self.model) | {
            "stop": request.stop or None,
            "logit_bias": {str(token): each for token, each in bias.items()} or None,
            "return_token_ids": True,
        }
