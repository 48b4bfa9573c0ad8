"""Dialect `openai`: any server of OpenAI's API, by its fields and no more.

Where it gives no token ids, it is asked with text, and text is what is compared; by messages where
the user says so.
"""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

from equivcheck.core.errors import EngineError
from equivcheck.core.generation import Generation, Request
from equivcheck.engines.http.chat import (
    BY_CHAT,
    CHAT,
    ChatAnswer,
    as_completion,
    chat_body,
    with_conversation,
)
from equivcheck.engines.http.completions import (
    COMPLETIONS,
    CompletionsResponse,
    card_now,
    choose_model,
    common_body,
    models,
    one_ended,
    only_choice,
    swapped,
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
from equivcheck.engines.http.texts import TRIAL, prompt_text, text_answer
from equivcheck.engines.http.wire import Reply, Wire
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
BY_ID = ("logit_bias",)
"""What says ids, and so is not asked of a server that may have others."""
TEXT_ALONE = (
    "it gives text and no token ids: text is compared, of which the pair's tokenizer makes ids"
)


class OpenaiDialect:
    """The fields that every server of the API has."""

    def __init__(self, wire: Wire, pair: PairWords, asked: ServerOptions) -> None:
        self.wire, self.pair, self.asked = wire, pair, asked
        self.model = ""
        self.text_alone = asked.text or asked.chat

    def open(self) -> ServerCapabilities:
        """Ask for the model, and try a request of one token: by ids, and by text if need be."""
        self.model = choose_model(models(self.wire), self.asked, wire=self.wire).id
        self.text_alone = self.text_alone or not self.gives_ids()
        if self.text_alone:
            request = with_conversation(trial_request(), TRIAL)
            answer, _ = self.ask(request, prompt=TRIAL)
            choice = one_ended(answer.choices, request, wire=self.wire)
            if choice.text is None:
                raise EngineError(f"{self.wire.url}: answers with neither text nor token ids")
        return ServerCapabilities(
            versions={"model": PurePath(self.model).name},
            gamma=self.asked.gamma or 0,
            counts=False,
            rule=self.asked.rule or "rejection",
            text_alone=self.text_alone,
            refuses=(
                *REFUSES,
                *(BY_ID if self.text_alone else ()),
                *(BY_CHAT if self.asked.chat else ()),
            ),
            ranges=RANGES,
            notes=(
                "the server does not say whether it speculates",
                *((TEXT_ALONE,) if self.text_alone else ()),
            ),
        )

    def gives_ids(self) -> bool:
        """Whether it takes ids and answers with ids.

        Raises:
            EngineError: its answer cannot be read.
        """
        reply = self.wire.post(COMPLETIONS, self.body(trial_request()))
        if reply.status != 200:
            return False
        return all(choice.token_ids is not None for choice in self.decode(reply).choices)

    def identity(self) -> dict[str, str]:
        """Name and root of the model."""
        card = card_now(self.model, wire=self.wire)
        return {"model": card.id, "root": str(card.root)}

    def answer(self, request: Request) -> Generation:
        """One completion: ids in and ids out, or text in and text out.

        Raises:
            EngineError: it cannot be asked by text, or ended before a stop or the limit of the
                request.
        """
        by_text = self.text_alone and not self.asked.chat
        prompt = prompt_text(request, self.pair) if by_text else None
        answer, seconds = self.ask(request, prompt=prompt)
        if self.text_alone:
            choice = one_ended(answer.choices, request, wire=self.wire)
        else:
            choice = only_choice(answer.choices, request, wire=self.wire)
        if wrong := swapped(request, choice, answer.usage):
            raise EngineError(f"{self.wire.url}: {wrong}")
        if self.text_alone:
            return text_answer(choice, request, self.pair, usage=answer.usage, seconds=seconds)
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
            total_seconds=seconds,
        )

    def ask(self, request: Request, *, prompt: str | None) -> tuple[CompletionsResponse, float]:
        """Put a request, and read the answer and the seconds it took.

        Raises:
            EngineError: it was refused, or answered with what cannot be read.
        """
        if self.asked.chat:
            reply = self.wire.post(CHAT, chat_body(request, self.model))
            said = read(reply, ChatAnswer, wire=self.wire, path=CHAT)
            return as_completion(said, request, url=self.wire.url), reply.seconds
        reply = self.wire.post(COMPLETIONS, self.body(request, prompt=prompt))
        return self.decode(reply), reply.seconds

    def body(self, request: Request, *, prompt: str | None = None) -> dict[str, Any]:
        """The request in its words; `prompt` stands for its ids."""
        bias = request.sampling.logit_bias
        common = common_body(request, self.model) | {"stop": request.stop or None}
        if prompt is not None:
            return common | {"prompt": prompt}
        return common | {
            "logit_bias": {str(token): each for token, each in bias.items()} or None,
            "return_token_ids": True,
        }

    def decode(self, reply: Reply) -> CompletionsResponse:
        """A reply as an answer."""
        return read(reply, CompletionsResponse, wire=self.wire, path=COMPLETIONS)
