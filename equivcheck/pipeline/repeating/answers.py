"""What engines are asked and what they answer: a part of a bundle's script."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

Requests = Sequence[dict[str, Any]]


class RepeatedAnswer(NamedTuple):
    """An answer to one request."""

    ids: list[int]
    by_string: bool = False
    """Whether a stop string ended it: a server may then have decoded a few tokens beyond."""


Ask = Callable[[Requests], dict[str, RepeatedAnswer]]
"""From requests to the answers, by key. Requests that are nobody's concern may be left out."""


class CannotRepeatError(Exception):
    """Something that the repetition needs is not there."""


def neutral(request: dict[str, Any]) -> dict[str, Any]:
    """A request's sampling, with what it does not name said too."""
    return {
        **{"temperature": 0.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "min_new_tokens": 0},
        **{"repetition_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0},
        **{"logit_bias": {}, "banned_tokens": []},
        **request.get("sampling", {}),
    }


def stop_ids(request: dict[str, Any], facts: dict[str, Any]) -> list[int]:
    """Every id that ends a request: the run's ends of text unless ignored, and its own."""
    ends = [] if request.get("ignore_eos") else facts["eos_token_ids"]
    return list(dict.fromkeys([*ends, *request.get("stop_token_ids", [])]))


def stream_seed(request: dict[str, Any]) -> int:
    """The seed that an engine is given, 56 bits: of a request's own seed and its key."""
    text = f"{request.get('seed', 0)}\n{request['key']}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "little")


def allowed_ids(banned: Sequence[int], facts: dict[str, Any]) -> list[int] | None:
    """All ids but the banned ones; None: none is banned."""
    return sorted(set(range(facts["vocab_size"])) - set(banned)) if banned else None


def of_concern(requests: Requests, facts: dict[str, Any]) -> list[dict[str, Any]]:
    """The requests that matter where they are answered one at a time, and company does not."""
    cases = (facts.get("event") or {}).get("cases") or [facts["key"]]
    return [each for each in requests if each["key"] in cases]


def located(facts: dict[str, Any], role: str) -> str:
    """Where a model is; of a pair that equivcheck knows by name, where that keeps it."""
    where = facts["models"].get(role)
    if where is None:
        import equivcheck

        where = getattr(equivcheck.locate_pair(facts["setup"].get("pair", "tiny")), role)
    return str(where)
