"""Ask servers by HTTP, with the standard library alone: a part of a bundle's script."""

from __future__ import annotations

import concurrent.futures
import json
import math
import os
import urllib.error
import urllib.request
from typing import Any

from equivcheck.pipeline.repeating.answers import (
    Ask,
    CannotRepeatError,
    RepeatedAnswer,
    Requests,
    allowed_ids,
    neutral,
    stop_ids,
    stream_seed,
)

LARGEST_LOGIT = 32.0
"""What logits are taken to lie under: log-probabilities do not show how large they are."""
TOLD = 20
"""Log-probabilities that are asked for in a place: what vLLM gives unless told otherwise."""

MOST_SAID = 500
"""Bytes of what a server says of an error."""


class RemoteServer:
    """A server of vLLM or llama.cpp."""

    def __init__(self, options: dict[str, str]) -> None:
        """Ask vLLM for the name of its model."""
        self.url = options["url"].rstrip("/").removesuffix("/v1")
        self.key = os.environ.get(options.get("key_env", ""), "")
        self.llama = options.get("dialect") == "llamacpp"
        self.at_once = int(options.get("batch", 0))
        self.model = options.get("model", "")
        if not (self.model or self.llama):
            self.model = self.post("/v1/models", None)["data"][0]["id"]

    def post(self, path: str, body: dict[str, Any] | None) -> Any:
        """What a page answers."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        headers |= {"Authorization": f"Bearer {self.key}"} if self.key else {}
        asked = urllib.request.Request(self.url + path, data, headers)
        try:
            with urllib.request.urlopen(asked) as reply:
                return json.load(reply)
        except urllib.error.HTTPError as error:
            said = error.read(MOST_SAID).decode(errors="replace")
            raise CannotRepeatError(f"{self.url}{path}: {error.code}: {said}") from error

    def answer(self, request: dict[str, Any], facts: dict[str, Any]) -> RepeatedAnswer:
        """A request's answer."""
        if self.llama:
            return RepeatedAnswer(self.post("/completion", llama_body(request))["tokens"])
        body = vllm_body(request, facts) | {"model": self.model, "return_token_ids": True}
        choice = self.post("/v1/completions", body)["choices"][0]
        return RepeatedAnswer(choice["token_ids"], isinstance(choice.get("stop_reason"), str))

    def logprobs(self, prefix: list[int], token: int) -> dict[int, float]:
        """Log-probabilities behind a prefix: of the best tokens, and from vLLM of this one too."""
        request = {"key": "", "max_new_tokens": 1, "ignore_eos": True}
        if self.llama:
            body = llama_body(request | {"prompt_ids": prefix})
            body |= {"n_probs": TOLD, "post_sampling_probs": False}
            [told] = self.post("/completion", body)["completion_probabilities"]
            return {each["id"]: each["logprob"] for each in told["top_logprobs"]}
        body = vllm_body(request | {"prompt_ids": [*prefix, token]}, {})
        body |= {"model": self.model, "prompt_logprobs": TOLD}
        told = self.post("/v1/completions", body)["choices"][0]["prompt_logprobs"][-1]
        return {int(id_): each["logprob"] for id_, each in told.items()}


def by_http(options: dict[str, str], facts: dict[str, Any]) -> Ask:
    """As many requests of a batch at once as in the run."""
    server = RemoteServer(options)

    def ask(requests: Requests) -> dict[str, RepeatedAnswer]:
        with concurrent.futures.ThreadPoolExecutor(server.at_once or len(requests)) as pool:
            found = pool.map(lambda each: server.answer(each, facts), requests)
            return dict(zip([each["key"] for each in requests], found, strict=True))

    return ask


def gap_by_server(
    options: dict[str, str], facts: dict[str, Any], prefix: list[int], one: int, other: int
) -> tuple[float, float]:
    """Nats between two tokens by a server, at least, and what arithmetic may make of it.

    A server computes in the engines' own numbers: two roundings are allowed, its own and theirs.
    """
    server = RemoteServer(options)
    found = [server.logprobs(prefix, token) for token in (one, other)]
    # A token that is not told is less likely than all that are.
    apart = [
        told.get(token, min(told.values())) for token, told in zip((one, other), found, strict=True)
    ]
    return abs(apart[0] - apart[1]), two_roundings(facts, min(min(told.values()) for told in found))


def two_roundings(facts: dict[str, Any], lowest: float) -> float:
    """Nats that arithmetic may part two log-probabilities by, the lowest of which is given."""
    bits = {"float32": 23, "bfloat16": 7, "float16": 10}[facts["setup"].get("dtype", "float32")]
    exponent = math.frexp(max(-lowest, LARGEST_LOGIT))[1] - 1
    return 2 * float(facts["near_tie_ulps"]) * math.ldexp(1.0, exponent - bits)


def vllm_body(request: dict[str, Any], facts: dict[str, Any]) -> dict[str, Any]:
    """A request in vLLM's words. Whatever a server might have a default for is said."""
    sampling = neutral(request)
    return {
        "prompt": request["prompt_ids"],
        "max_tokens": request["max_new_tokens"],
        "min_tokens": sampling.pop("min_new_tokens"),
        "allowed_token_ids": allowed_ids(sampling.pop("banned_tokens"), facts),
        **sampling,
        "top_k": sampling["top_k"] or -1,
        "logit_bias": sampling["logit_bias"] or None,
        "stop": request.get("stop", []),
        # Ends of text are named, so that they are those of the run and not the server's.
        "stop_token_ids": stop_ids(request, facts),
        "ignore_eos": True,
        "seed": stream_seed(request) % 2**31,
        "n": 1,
    }


def llama_body(request: dict[str, Any]) -> dict[str, Any]:
    """A request in the words of llama.cpp's server."""
    sampling = neutral(request)
    unsaid = ("presence_penalty", "frequency_penalty", "min_new_tokens")
    if lacking := [name for name in unsaid if sampling.pop(name)]:
        raise CannotRepeatError(f"this way of asking llama.cpp has no {', '.join(lacking)}")
    penalty, biases = sampling.pop("repetition_penalty"), sampling.pop("logit_bias")
    return {
        "prompt": request["prompt_ids"],
        "n_predict": request["max_new_tokens"],
        "repeat_penalty": penalty,
        # As far back as the context goes.
        "repeat_last_n": 2**16 if penalty != 1 else 0,
        "logit_bias": [
            *([int(token), bias] for token, bias in biases.items()),
            *([token, False] for token in sampling.pop("banned_tokens")),
        ],
        **sampling,
        "stop": request.get("stop", []),
        "samplers": ["penalties", "temperature", "top_k", "top_p", "min_p"],
        "seed": stream_seed(request) % 2**31,
        "return_tokens": True,
        "cache_prompt": False,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
    }
