"""`/v1/completions` and `/v1/models`, as far as the servers that speak them agree."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from equivcheck.core.errors import EngineError, unknown_name
from equivcheck.core.generation import Request
from equivcheck.engines.http.dialect import ServerOptions, read, stop_ids
from equivcheck.engines.http.wire import Wire

MODELS = "/v1/models"
COMPLETIONS = "/v1/completions"


class ModelCard(Struct, frozen=True, kw_only=True):
    """One entry of ``/v1/models``."""

    id: str
    owned_by: str | None = None
    root: str | None = None
    parent: str | None = None
    max_model_len: int | None = None


class ModelList(Struct, frozen=True, kw_only=True):
    """``/v1/models``."""

    data: tuple[ModelCard, ...]


class Usage(Struct, frozen=True, kw_only=True):
    """What a server counted."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class Choice(Struct, frozen=True, kw_only=True):
    """The one answer."""

    text: str | None = None
    token_ids: tuple[int, ...] | None = None
    prompt_token_ids: tuple[int, ...] | None = None
    finish_reason: str | None = None
    stop_reason: int | str | None = None


class CompletionsResponse(Struct, frozen=True, kw_only=True):
    """An answer of ``/v1/completions``, as far as servers agree."""

    choices: tuple[Choice, ...]
    usage: Usage | None = None


class Version(Struct, frozen=True, kw_only=True):
    """``/version``."""

    version: str


def version_of(wire: Wire) -> str:
    """What the server calls its version.

    Raises:
        EngineError: it does not say.
    """
    return read(wire.get("/version"), Version, wire=wire, path="/version").version


def models(wire: Wire) -> tuple[ModelCard, ...]:
    """What the server has.

    Raises:
        EngineError: it does not say.
    """
    return read(wire.get(MODELS), ModelList, wire=wire, path=MODELS).data


def choose_model(cards: tuple[ModelCard, ...], asked: ServerOptions, *, wire: Wire) -> ModelCard:
    """The model that was named, or else the only one that is no adapter of another.

    Raises:
        EngineError: there is none of that name, or none was named and there are several.
    """
    by_name = {card.id: card for card in cards}
    if asked.model is not None:
        if asked.model not in by_name:
            raise EngineError(f"{wire.url}: {unknown_name('model', asked.model, by_name)}")
        return by_name[asked.model]
    own = [card for card in cards if card.parent is None]
    if len(own) != 1:
        listed = ", ".join(sorted(by_name)) or "none"
        raise EngineError(f"{wire.url}: say which model with model=NAME; there are: {listed}")
    return own[0]


def card_now(model: str, *, wire: Wire) -> ModelCard:
    """The model under its name, as it is now.

    Raises:
        EngineError: the server no longer has it.
    """
    found = [card for card in models(wire) if card.id == model]
    if not found:
        raise EngineError(f"{wire.url}: the model {model!r} is gone")
    return found[0]


def common_body(request: Request, model: str) -> dict[str, Any]:
    """The fields that all agree on. Whatever a server might have a default for is said."""
    sampling = request.sampling
    return {
        "model": model,
        "prompt": request.prompt_ids,
        "max_tokens": request.max_new_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "seed": request.stream_seed % 2**31,
        "n": 1,
        "stream": False,
    }


def extended_body(
    request: Request, model: str, *, eos_token_ids: tuple[int, ...], no_top_k: int
) -> dict[str, Any]:
    """The common fields and those of vLLM and TensorRT-LLM.

    Ends of text are named as stop ids, so that they are the pair's and not the server's.
    """
    sampling = request.sampling
    return common_body(request, model) | {
        "top_k": sampling.top_k or no_top_k,
        "min_p": sampling.min_p,
        "repetition_penalty": sampling.repetition_penalty,
        "min_tokens": sampling.min_new_tokens,
        "stop": request.stop,
        "stop_token_ids": stop_ids(request, eos_token_ids),
        "ignore_eos": True,
        "logit_bias": {str(token): bias for token, bias in sampling.logit_bias.items()} or None,
    }


def swapped(request: Request, choice: Choice, usage: Usage | None) -> str | None:
    """Why an answer cannot be one to this request's prompt; None: it may be."""
    if choice.prompt_token_ids not in (None, request.prompt_ids):
        return f"the answer to {request.key} is one to another prompt"
    counted = usage.prompt_tokens if usage else None
    if counted not in (None, len(request.prompt_ids)):
        return (
            f"the prompt of {request.key} has {len(request.prompt_ids)} tokens, and the server "
            f"read {counted}"
        )
    return None


def only_choice(choices: tuple[Choice, ...], request: Request, *, wire: Wire) -> Choice:
    """The one answer, with its ids.

    Raises:
        EngineError: there is another number of them, it did not end, or it has no ids.
    """
    choice = one_ended(choices, request, wire=wire)
    if choice.token_ids is None:
        raise EngineError(
            f"{wire.url}: answers with text and no token ids, so tokens cannot be compared; use "
            f"a server and an endpoint that return ids, or compare text alone with dialect=openai "
            f"(docs/engines.md)"
        )
    return choice


def one_ended(choices: tuple[Choice, ...], request: Request, *, wire: Wire) -> Choice:
    """The one answer, which has ended.

    Raises:
        EngineError: there is another number of them, or it did not end.
    """
    if len(choices) != 1:
        raise EngineError(f"{wire.url}: {len(choices)} answers to {request.key}, not one")
    if choices[0].finish_reason not in ("stop", "length"):
        raise EngineError(f"{wire.url}: {request.key} ended by {choices[0].finish_reason!r}")
    return choices[0]
