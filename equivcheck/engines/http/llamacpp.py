"""Dialect `llamacpp`: llama.cpp's own server, by its `/completion`.

Cuts are put in this package's order by `samplers`. What it has no word for is refused: stop ids,
ends of text that are ignored (it would ban them), least lengths, and presence and frequency
penalties, which count the prompt there.
"""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

import msgspec
from msgspec import Struct

from equivcheck.core.cases import Sampling
from equivcheck.core.engine import Rule
from equivcheck.core.errors import EngineError, EngineGoneError, SettingsError, unknown_name
from equivcheck.core.generation import DraftCounts, Generation, Request
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

PROPS = "/props"
COMPLETION = "/completion"
SAMPLERS = ("penalties", "temperature", "top_k", "top_p", "min_p")
REFUSES = (
    "presence_penalty",
    "frequency_penalty",
    "min_new_tokens",
    "stop_token_ids",
    "ignore_eos",
    # It adds biases before penalties.
    "logit_bias+repetition_penalty",
)
METHODS = {
    "draft-simple": "draft_model",
    "draft-eagle3": "eagle3",
    "draft-mtp": "mtp",
    "ngram-simple": "ngram",
}
"""Its kinds of speculation in vLLM's words, as far as there are any."""
CERTAIN = 1e4
"""A bias that no logit makes up for."""


class Props(Struct, frozen=True, kw_only=True):
    """``/props``."""

    default_generation_settings: dict[str, Any] = {}
    total_slots: int | None = None
    model_alias: str | None = None
    model_path: str | None = None
    model_ftype: str | None = None
    build_info: str | None = None

    @property
    def context(self) -> int | None:
        """Positions of a slot."""
        told = self.default_generation_settings.get("n_ctx")
        return told if isinstance(told, int) else None


class InForce(Struct, frozen=True, kw_only=True):
    """``generation_settings`` of an answer: what it was decoded with."""

    samplers: tuple[str, ...]
    temperature: float
    top_k: int
    top_p: float
    min_p: float
    repeat_penalty: float
    seed: int
    types: str = msgspec.field(default="none", name="speculative.types")
    n_max: int | None = msgspec.field(default=None, name="speculative.n_max")


class Timings(Struct, frozen=True, kw_only=True):
    """``timings`` of an answer; without drafts it counts none."""

    draft_n: int = 0
    draft_n_accepted: int = 0


class LlamacppResponse(Struct, frozen=True, kw_only=True):
    """An answer of ``/completion``."""

    tokens: tuple[int, ...]
    stop_type: str
    tokens_evaluated: int
    generation_settings: InForce
    model: str | None = None
    timings: Timings = Timings()


class LlamacppDialect:
    """llama.cpp in its own words."""

    def __init__(self, wire: Wire, pair: PairWords, asked: ServerOptions) -> None:
        self.wire, self.pair, self.asked = wire, pair, asked
        self.props = Props()
        self.model: str | None = None
        self.speculates = False

    def open(self) -> ServerCapabilities:
        """Ask for its properties, and try a request of one token and one for each end of text."""
        self.props = self.look()
        alias = self.props.model_alias
        if self.asked.model not in (None, alias):
            raise EngineError(
                f"{self.wire.url}: {unknown_name('model', str(self.asked.model), [str(alias)])}"
            )
        tried = self.put(self.body(trial_request()))
        self.model = tried.model
        types = tried.generation_settings.types
        self.speculates = types != "none"
        gamma = self.asked.gamma or tried.generation_settings.n_max or 0
        if self.speculates and not gamma:
            raise SettingsError(
                f"{self.wire.url}: it speculates ({types}) and does not say how many tokens it "
                f"drafts; say gamma=N, its --draft-max"
            )
        for token in self.pair.eos_token_ids:
            self.try_end(token)
        # The name may be a path, whose folders are nobody's business.
        name = PurePath(alias or tried.model or "not told").name
        return ServerCapabilities(
            versions={
                "llama.cpp": self.props.build_info or "not told",
                "model": name,
                "model.type": self.props.model_ftype or "not told",
                "speculation": types,
            },
            gamma=gamma if self.speculates else 0,
            counts=self.speculates,
            rule=self.asked.rule or rule_of(types),
            method=METHODS.get(types),
            refuses=REFUSES,
            quantised=packed(self.props.model_ftype),
            context=self.props.context,
            slots=self.props.total_slots,
        )

    def identity(self) -> dict[str, str]:
        """File, type and build of the model; each answer names the model, too."""
        now = self.look()
        return {
            "model": str(now.model_alias),
            "path": str(now.model_path),
            "type": str(now.model_ftype),
            "build": str(now.build_info),
            "context": str(now.context),
        }

    def answer(self, request: Request) -> Generation:
        """One completion, ids in and ids out.

        Raises:
            EngineError: it decoded with other parameters than those asked for, read another
                prompt, or ended for another reason than an id, a string or a limit.
            EngineGoneError: another model answered.
        """
        reply = self.wire.post(COMPLETION, body := self.body(request))
        answer = read(reply, LlamacppResponse, wire=self.wire, path=COMPLETION)
        if answer.model != self.model:
            raise EngineGoneError(
                f"{self.wire.url}: {request.key} was answered by {answer.model}, not {self.model}"
            )
        if wrong := not_as_asked(answer.generation_settings, body):
            raise EngineError(f"{self.wire.url}: {request.key} was decoded with another {wrong}")
        if answer.tokens_evaluated != len(request.prompt_ids):
            raise EngineError(
                f"{self.wire.url}: the prompt of {request.key} has {len(request.prompt_ids)} "
                f"tokens, and the server read {answer.tokens_evaluated}"
            )
        if answer.stop_type not in ("eos", "word", "limit"):
            raise EngineError(f"{self.wire.url}: {request.key} ended by {answer.stop_type!r}")
        token_ids, reason = ended(
            answer.tokens,
            request,
            self.pair,
            Ending(answer.stop_type != "limit", answer.stop_type == "word"),
        )
        counts = DraftCounts(
            drafted=answer.timings.draft_n, accepted=answer.timings.draft_n_accepted
        )
        return Generation(
            key=request.key,
            token_ids=token_ids,
            finish_reason=reason,
            prompt_tokens=len(request.prompt_ids),
            counts=counts if self.speculates else None,
            total_seconds=reply.seconds,
        )

    def body(self, request: Request) -> dict[str, Any]:
        """The request in its words. What a server might have a default for is said."""
        sampling = request.sampling
        penalised = sampling.repetition_penalty != 1
        return {
            "prompt": request.prompt_ids,
            "n_predict": request.max_new_tokens,
            "temperature": sampling.temperature,
            "top_k": sampling.top_k,
            "top_p": sampling.top_p,
            "min_p": sampling.min_p,
            "repeat_penalty": sampling.repetition_penalty,
            "repeat_last_n": (self.props.context or 2**16) if penalised else 0,
            "logit_bias": [
                *([token, bias] for token, bias in sampling.logit_bias.items()),
                *([token, False] for token in sampling.banned_tokens),
            ],
            "stop": request.stop,
            "samplers": SAMPLERS,
            "seed": request.stream_seed % 2**31,
            "return_tokens": True,
            "cache_prompt": False,
            "stream": False,
            "ignore_eos": False,
            "n_keep": 0,
            "n_probs": 0,
            "min_keep": 0,
            "mirostat": 0,
            "dynatemp_range": 0.0,
            "presence_penalty": 0.0,
            "frequency_penalty": 0.0,
            "grammar": "",
        }

    def put(self, body: dict[str, Any]) -> LlamacppResponse:
        """Put a body; the raw answer."""
        reply = self.wire.post(COMPLETION, body)
        return read(reply, LlamacppResponse, wire=self.wire, path=COMPLETION)

    def look(self) -> Props:
        """The server's properties, as they are now."""
        return read(self.wire.get(PROPS), Props, wire=self.wire, path=PROPS)

    def try_end(self, token: int) -> None:
        """Make an end of text certain, and see that the server ends there.

        Raises:
            EngineError: it goes on, so its model ends texts otherwise than the pair.
        """
        request = msgspec.structs.replace(
            trial_request(), sampling=Sampling(logit_bias={token: CERTAIN}), max_new_tokens=2
        )
        answer = self.put(self.body(request))
        if answer.tokens != (token,) or answer.stop_type != "eos":
            raise EngineError(
                f"{self.wire.url}: token {token} ({self.pair.text_of(token)}) ends a text of the "
                f"pair, and the server goes on behind it: is it the same model?"
            )


def rule_of(types: str) -> Rule:
    """By what rule a kind of speculation verifies sampled drafts, as far as its name says.

    Plain decoding and drafts copied from the text draw the same token from the same seed. A draft
    model may draw its drafts, which the server does not say; then only the distribution is claimed.
    """
    return "coupled" if types == "none" or types.startswith("ngram") else "rejection"


def packed(ftype: str | None) -> str | None:
    """A file's type, where its weights are no plain numbers: products are then rounded as well."""
    plain = ftype is None or ftype.removeprefix("all ").split(" ")[0] in ("F32", "F16", "BF16")
    return None if plain else ftype


def not_as_asked(settings: InForce, body: dict[str, Any]) -> str | None:
    """The first parameter that an answer was decoded with otherwise; None: there is none."""
    if settings.samplers != body["samplers"]:
        return "order of samplers"
    if settings.seed != body["seed"] or settings.top_k != body["top_k"]:
        return "seed or top_k"
    # The server keeps single precision: an error of 2^-24 a unit.
    for name in ("temperature", "top_p", "min_p", "repeat_penalty"):
        wanted = body[name]
        if abs(getattr(settings, name) - wanted) > 2**-23 * abs(wanted):
            return name
    return None
