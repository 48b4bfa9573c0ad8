"""Finds out by asking which dialect a server speaks."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from equivcheck.core.errors import EngineError
from equivcheck.core.validation import decoded
from equivcheck.engines.http.completions import MODELS
from equivcheck.engines.http.dialect import Dialect
from equivcheck.engines.http.llamacpp import PROPS, LlamacppDialect
from equivcheck.engines.http.openai import OpenaiDialect
from equivcheck.engines.http.sglang import SERVER_INFO, SglangDialect
from equivcheck.engines.http.tensorrt_llm import TensorrtLlmDialect
from equivcheck.engines.http.vllm import VllmDialect
from equivcheck.engines.http.wire import Wire

DialectName = Literal["vllm", "sglang", "llamacpp", "tensorrt-llm", "openai"]
DIALECTS: dict[DialectName, type[Dialect]] = {
    "vllm": VllmDialect,
    "sglang": SglangDialect,
    "llamacpp": LlamacppDialect,
    "tensorrt-llm": TensorrtLlmDialect,
    "openai": OpenaiDialect,
}
OWNERS: dict[str, DialectName] = {
    "vllm": "vllm",
    "sglang": "sglang",
    "llamacpp": "llamacpp",
    "tensorrt_llm": "tensorrt-llm",
}
"""Who owns a model, in the words of ``/v1/models``."""


def find_dialect(wire: Wire) -> DialectName:
    """The dialect of the server at the other end.

    Raises:
        EngineError: it answers no question that this package knows.
        EngineGoneError: it is not there.
    """
    listed = _asked(wire, MODELS)
    cards = listed.get("data") if listed else None
    owners = [card.get("owned_by") for card in cards or () if isinstance(card, dict)]
    known = [OWNERS[owner] for owner in owners if owner in OWNERS]
    if known:
        return known[0]
    if "default_generation_settings" in (_asked(wire, PROPS) or {}):
        return "llamacpp"
    if "model_path" in (_asked(wire, SERVER_INFO) or {}):
        return "sglang"
    if cards:
        return "openai"
    raise EngineError(
        f"{wire.url}: no server that is known answers here: neither {MODELS} nor {PROPS} nor "
        f"{SERVER_INFO}; say dialect=NAME if it is one of {', '.join(DIALECTS)}"
    )


def _asked(wire: Wire, path: str) -> dict[str, Any] | None:
    """What a page says, where it is a JSON object."""
    reply = wire.get(path)
    if reply.status != 200:
        return None
    try:
        found = decoded(msgspec.json.decode, reply.body)
    except msgspec.DecodeError:
        return None
    return found if isinstance(found, dict) else None
