"""Dialect `vllm`: vLLM's OpenAI-compatible server, as of 0.32.

Requests in which its order of cuts would matter are refused (`vllm_answer.NOT_TOGETHER`).
"""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

import msgspec

from equivcheck.core.cases import Sampling
from equivcheck.core.errors import EngineError, EngineGoneError
from equivcheck.core.generation import Generation, Request
from equivcheck.core.serving import TimedAnswer
from equivcheck.engines.http.completions import (
    COMPLETIONS,
    card_now,
    choose_model,
    extended_body,
    models,
    only_choice,
    swapped,
    version_of,
)
from equivcheck.engines.http.counters import read_counters
from equivcheck.engines.http.dialect import (
    Ending,
    PairWords,
    ServerCapabilities,
    ServerOptions,
    ended,
    read,
    trial_request,
)
from equivcheck.engines.http.vllm_stream import assembled, emissions_of, steps_of
from equivcheck.engines.http.vllm_words import VllmAnswer, lossy_of, method_of
from equivcheck.engines.http.wire import Reply, Wire
from equivcheck.engines.vllm_answer import NOT_TOGETHER, RANGES

DOUBTFUL = {
    "min_p": Sampling(temperature=1.0, min_p=0.1),
    "logit_bias": Sampling(logit_bias={0: 1}),
}
"""Fields that the server may refuse as a whole where it speculates, and how that is tried."""


class VllmDialect:
    """vLLM in its own words."""

    def __init__(self, wire: Wire, pair: PairWords, asked: ServerOptions) -> None:
        self.wire, self.pair, self.asked = wire, pair, asked
        self.model = ""
        self.gamma = 0
        self.fingerprint: str | None = None

    def open(self) -> ServerCapabilities:
        """Ask for model, version and counters, and try a few requests of one token."""
        card = choose_model(models(self.wire), self.asked, wire=self.wire)
        self.model = card.id
        counters = read_counters(self.wire)
        tried = self.ask(request := trial_request())
        only_choice(tried.choices, request, wire=self.wire)
        self.fingerprint = tried.system_fingerprint
        speculation = tried.metrics and tried.metrics.speculative_decoding
        slots = len(counters.by_slot) if counters else 0
        self.gamma = self.asked.gamma or (speculation.num_spec_tokens if speculation else slots)
        notes: tuple[str, ...] = ()
        if self.gamma and not speculation:
            notes = (
                "its answers do not count their drafts: start it with "
                "--per-request-spec-decode-metrics detailed, or ask with batch=1",
            )
        return ServerCapabilities(
            versions={
                "vllm": version_of(self.wire),
                "model": PurePath(card.id).name,
                "model.root": PurePath(card.root or "not told").name,
            },
            gamma=self.gamma,
            counts=bool(speculation),
            method=method_of(self.wire) if self.gamma else None,
            lossy=lossy_of(self.wire),
            refuses=(
                *(
                    name
                    for name, sampling in DOUBTFUL.items()
                    if self.gamma and self.refused(sampling)
                ),
                *NOT_TOGETHER,
            ),
            ranges=RANGES,
            context=card.max_model_len,
            notes=notes,
        )

    def identity(self) -> dict[str, str]:
        """Name, root and length of the model; a fingerprint of the set-up is in each answer."""
        card = card_now(self.model, wire=self.wire)
        return {"model": card.id, "root": str(card.root), "length": str(card.max_model_len)}

    def answer(self, request: Request) -> Generation:
        """One completion, ids in and ids out."""
        if self.asked.stream:
            return self.answer_timed(request).generation
        reply = self.wire.post(COMPLETIONS, self.body(request))
        return self.generation(request, self.decode(reply), seconds=reply.seconds)

    def answer_timed(self, request: Request) -> TimedAnswer:
        """One completion as it is streamed."""
        asked = {"stream": True, "stream_options": {"include_usage": True}}
        reply = self.wire.post(COMPLETIONS, self.body(request) | asked)
        if reply.status != 200:
            raise EngineError(f"{self.wire.url}{COMPLETIONS}: {self.wire.said(reply)}")
        found = assembled(reply.body, place=f"{self.wire.url}{COMPLETIONS}")
        answer = self.generation(request, found.answer, seconds=reply.seconds)
        metrics, length = found.answer.metrics, len(answer.token_ids)
        told = None if metrics is None else metrics.speculative_decoding
        steps = steps_of(found.sizes, told, length=length)
        return TimedAnswer(
            msgspec.structs.replace(answer, steps=steps),
            emissions_of(found, reply.received, length=length),
            reply.received[-1][0],
        )

    def body(self, request: Request) -> dict[str, Any]:
        """The request in its words. Bans are said as what is allowed, for a bias is no ban."""
        banned = set(request.sampling.banned_tokens)
        allowed = [token for token in range(self.pair.vocab_size) if token not in banned]
        return extended_body(
            request, self.model, eos_token_ids=self.pair.eos_token_ids, no_top_k=-1
        ) | {
            "allowed_token_ids": allowed if banned else None,
            "return_token_ids": True,
        }

    def generation(self, request: Request, answer: VllmAnswer, *, seconds: float) -> Generation:
        """An answer in this package's words.

        Raises:
            EngineError: it has no ids, is one to another prompt, or did not end.
            EngineGoneError: it comes from another set-up of the server.
        """
        choice = only_choice(answer.choices, request, wire=self.wire)
        if answer.system_fingerprint != self.fingerprint:
            raise EngineGoneError(
                f"{self.wire.url}: {request.key} was answered by another server: its fingerprint "
                f"is {answer.system_fingerprint}, and was {self.fingerprint}"
            )
        if wrong := swapped(request, choice, answer.usage):
            raise EngineError(f"{self.wire.url}: {wrong}")
        stopped = choice.finish_reason == "stop"
        by_string = stopped and isinstance(choice.stop_reason, str)
        token_ids, reason = ended(
            choice.token_ids or (),
            request,
            self.pair,
            Ending(stopped, by_string, self.gamma),
        )
        speculation = answer.metrics and answer.metrics.speculative_decoding
        return Generation(
            key=request.key,
            token_ids=token_ids,
            finish_reason=reason,
            prompt_tokens=len(request.prompt_ids),
            counts=speculation.counts if speculation else None,
            total_seconds=seconds,
        )

    def ask(self, request: Request) -> VllmAnswer:
        """Put a request; the raw answer."""
        return self.decode(self.wire.post(COMPLETIONS, self.body(request)))

    def decode(self, reply: Reply) -> VllmAnswer:
        """A reply as an answer."""
        return read(reply, VllmAnswer, wire=self.wire, path=COMPLETIONS)

    def refused(self, sampling: Sampling) -> bool:
        """Whether the server refuses a sampling parameter altogether."""
        request = msgspec.structs.replace(trial_request(), sampling=sampling)
        return self.wire.post(COMPLETIONS, self.body(request)).status == 400
