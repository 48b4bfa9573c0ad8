"""Dialect `sglang`: SGLang's own `/generate`, by its documentation. Not run against a real server.

Seeds count there only with `--enable-deterministic-inference`; without it nothing is sampled.
"""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

from msgspec import Struct

from equivcheck.core.errors import EngineError
from equivcheck.core.generation import DraftCounts, Generation, Request
from equivcheck.core.lossy import lossy_in
from equivcheck.engines.http.dialect import (
    Ending,
    PairWords,
    ServerCapabilities,
    ServerOptions,
    ended,
    read,
    stop_ids,
    trial_request,
)
from equivcheck.engines.http.wire import Wire

GENERATE = "/generate"
SERVER_INFO = "/get_server_info"
REFUSES = ("repetition_penalty", "banned_tokens", "min_new_tokens+ignore_eos")
"""Whether its repetition penalty counts the prompt is not documented; its least length bans the end
of text even where that is ignored."""


METHODS = {"EAGLE3": "eagle3", "STANDALONE": "draft_model", "NGRAM": "ngram"}
"""Its algorithms in vLLM's words, where they are one method each."""


class SglangServerInfo(Struct, frozen=True, kw_only=True):
    """``/get_server_info``."""

    model_path: str
    version: str | None = None
    dtype: str | None = None
    context_length: int | None = None
    speculative_algorithm: str | None = None
    speculative_num_draft_tokens: int | None = None
    speculative_draft_model_path: str | None = None
    speculative_accept_threshold_single: float = 1.0
    speculative_accept_threshold_acc: float = 1.0
    enable_deterministic_inference: bool = False

    @property
    def lossy(self) -> tuple[str, ...]:
        """Its lossy settings in effect."""
        names = ("speculative_accept_threshold_single", "speculative_accept_threshold_acc")
        return lossy_in(f"{name}={getattr(self, name)}" for name in names)

    @property
    def method(self) -> str | None:
        """How it drafts. EAGLE may be a head or layers of the model itself, as NEXTN is called so.

        Without a path for the draft, the server names the model's own there.
        """
        if self.speculative_algorithm == "EAGLE":
            return "mtp" if self.speculative_draft_model_path == self.model_path else None
        return METHODS.get(self.speculative_algorithm or "")


class Finished(Struct, frozen=True, kw_only=True):
    """Why an answer ended: ``type`` and what was matched."""

    type: str
    matched: int | str | None = None


class SglangMeta(Struct, frozen=True, kw_only=True):
    """``meta_info`` of an answer; figures of speculation only where it took place."""

    finish_reason: Finished
    prompt_tokens: int
    spec_verify_ct: int | None = None
    spec_draft_token_num: int | None = None
    spec_accept_token_num: int | None = None


class SglangResponse(Struct, frozen=True, kw_only=True):
    """An answer of ``/generate``."""

    meta_info: SglangMeta
    output_ids: tuple[int, ...] | None = None


class SglangDialect:
    """SGLang in its own words."""

    def __init__(self, wire: Wire, pair: PairWords, asked: ServerOptions) -> None:
        self.wire, self.pair, self.asked = wire, pair, asked
        self.gamma = 0

    def open(self) -> ServerCapabilities:
        """Ask what it runs, and try a request of one token."""
        info = self.look()
        speculates = info.speculative_algorithm is not None
        self.gamma = self.asked.gamma or (info.speculative_num_draft_tokens or 0) * speculates
        self.answer(trial_request())
        seeded = info.enable_deterministic_inference
        return ServerCapabilities(
            versions={
                "sglang": info.version or "not told",
                "model": PurePath(info.model_path).name,
                "speculation": info.speculative_algorithm or "none",
            },
            gamma=self.gamma,
            counts=speculates,
            method=info.method,
            lossy=info.lossy,
            sampled=seeded,
            refuses=REFUSES,
            ranges={"presence_penalty": (-2.0, 2.0), "frequency_penalty": (-2.0, 2.0)},
            context=info.context_length,
            notes=(
                "this dialect was written from the server's documentation and not run against one",
                *(() if seeded else ("no seeds: start it with --enable-deterministic-inference",)),
            ),
        )

    def identity(self) -> dict[str, str]:
        """Model, version and speculation."""
        now = self.look()
        names = ("model_path", "version", "speculative_algorithm", "speculative_num_draft_tokens")
        return {name: str(getattr(now, name)) for name in names}

    def answer(self, request: Request) -> Generation:
        """One completion, ids in and ids out.

        Raises:
            EngineError: it has no ids, read another prompt, or did not end.
        """
        reply = self.wire.post(GENERATE, self.body(request))
        answer = read(reply, SglangResponse, wire=self.wire, path=GENERATE)
        meta = answer.meta_info
        if answer.output_ids is None:
            raise EngineError(f"{self.wire.url}: answers without output_ids")
        if meta.prompt_tokens != len(request.prompt_ids):
            raise EngineError(
                f"{self.wire.url}: the prompt of {request.key} has {len(request.prompt_ids)} "
                f"tokens, and the server read {meta.prompt_tokens}"
            )
        if meta.finish_reason.type not in ("stop", "length"):
            raise EngineError(f"{self.wire.url}: {request.key} ended by {meta.finish_reason.type}")
        stopped = meta.finish_reason.type == "stop"
        token_ids, reason = ended(
            answer.output_ids,
            request,
            self.pair,
            Ending(stopped, isinstance(meta.finish_reason.matched, str), self.gamma),
        )
        return Generation(
            key=request.key,
            token_ids=token_ids,
            finish_reason=reason,
            prompt_tokens=len(request.prompt_ids),
            counts=counts(meta) if self.gamma else None,
            total_seconds=reply.seconds,
        )

    def body(self, request: Request) -> dict[str, Any]:
        """The request in its words. Ends of text are named as stop ids: the pair's."""
        sampling = request.sampling
        return {
            "input_ids": request.prompt_ids,
            "stream": False,
            "sampling_params": {
                "max_new_tokens": request.max_new_tokens,
                "min_new_tokens": sampling.min_new_tokens,
                "temperature": sampling.temperature,
                "top_k": sampling.top_k or -1,
                "top_p": sampling.top_p,
                "min_p": sampling.min_p,
                "presence_penalty": sampling.presence_penalty,
                "frequency_penalty": sampling.frequency_penalty,
                "logit_bias": {str(token): bias for token, bias in sampling.logit_bias.items()}
                or None,
                "stop": request.stop,
                "stop_token_ids": stop_ids(request, self.pair.eos_token_ids),
                "ignore_eos": True,
                "skip_special_tokens": True,
                "sampling_seed": request.stream_seed % 2**31,
                "n": 1,
            },
        }

    def look(self) -> SglangServerInfo:
        """What the server runs, as it is now."""
        return read(self.wire.get(SERVER_INFO), SglangServerInfo, wire=self.wire, path=SERVER_INFO)


def counts(meta: SglangMeta) -> DraftCounts:
    """A request's drafts; without a verify step the server counts none."""
    return DraftCounts(
        drafted=meta.spec_draft_token_num or 0,
        accepted=meta.spec_accept_token_num or 0,
        steps=meta.spec_verify_ct or 0,
    )
