"""Ask engines by their public interfaces alone: a part of a bundle's script."""

from __future__ import annotations

import concurrent.futures
import json
import os
import urllib.request
from collections.abc import Callable, Sequence
from typing import Any

Requests = Sequence[dict[str, Any]]
Ask = Callable[[Requests], dict[str, list[int]]]
"""From requests to the token ids of each answer, by key."""


class CannotRepeatError(Exception):
    """Something that the repetition needs is not there."""


def opened(spec: str, facts: dict[str, Any]) -> Ask:
    """An engine, ready to be asked."""
    name, _, rest = spec.partition(":")
    options = dict(part.split("=", 1) for part in rest.split(",") if part)
    if name == "transformers":
        return by_generate(options, facts)
    if name == "http":
        return by_http(options, facts)
    return by_equivcheck(spec, facts)


def by_equivcheck(spec: str, facts: dict[str, Any]) -> Ask:
    """An engine of equivcheck's, by its public names."""
    import equivcheck

    engine = equivcheck.load_engine(spec, equivcheck.EngineSetup(**facts["setup"]))

    def ask(requests: Requests) -> dict[str, list[int]]:
        made = []
        for each in requests:
            law = dict(each.get("sampling", {}))
            law["logit_bias"] = {int(id_): bias for id_, bias in law.get("logit_bias", {}).items()}
            law["banned_tokens"] = tuple(law.get("banned_tokens", ()))
            lists = {name: tuple(value) for name, value in each.items() if isinstance(value, list)}
            made.append(
                equivcheck.Request(**each | lists | {"sampling": equivcheck.Sampling(**law)})
            )
        return {answer.key: list(answer.token_ids) for answer in engine.generate(made)}

    return ask


def by_generate(options: dict[str, str], facts: dict[str, Any]) -> Ask:
    """transformers' own `generate()`, one request after the other."""
    import torch

    model, mode = loaded(facts, "target"), options.get("mode", "plain")
    gamma, extra = int(options.get("gamma", 4)), dict[str, Any]()
    if mode == "assisted":
        draft = extra["assistant_model"] = loaded(facts, "draft")
        draft.generation_config.update(
            num_assistant_tokens=gamma,
            num_assistant_tokens_schedule="constant",
            assistant_confidence_threshold=0.0,
        )
    elif mode == "lookup":
        extra["prompt_lookup_num_tokens"] = gamma

    def answer(request: dict[str, Any]) -> list[int]:
        law, prompt = request.get("sampling", {}), torch.tensor([request["prompt_ids"]])
        known = {"temperature", "top_k", "top_p", "min_p", "repetition_penalty", "banned_tokens"}
        lacking = sorted(law.keys() - known) + ["stop strings"] * bool(request.get("stop"))
        if lacking:
            raise CannotRepeatError(f"this way of asking generate() has no {', '.join(lacking)}")
        ends = facts["eos_token_ids"] * (not request.get("ignore_eos"))
        drawn = {name: law.get(name) for name in ("temperature", "top_p", "min_p") if law.get(name)}
        drawing = {"top_k": law.get("top_k", 0), **drawn} if drawn.get("temperature") else {}
        torch.manual_seed(request.get("seed", 0))
        output = model.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            max_new_tokens=request["max_new_tokens"],
            do_sample=bool(drawing),
            repetition_penalty=law.get("repetition_penalty", 1.0),
            suppress_tokens=law.get("banned_tokens") or None,
            eos_token_id=[*ends, *request.get("stop_token_ids", ())] or None,
            pad_token_id=0,
            **drawing,
            **extra,
        )
        ids: list[int] = output[0].tolist()
        return ids[len(request["prompt_ids"]) :]

    return lambda requests: {request["key"]: answer(request) for request in requests}


def by_http(options: dict[str, str], facts: dict[str, Any]) -> Ask:
    """A server of vLLM or llama.cpp, all requests of a batch at once."""
    url = options["url"].rstrip("/").removesuffix("/v1")
    key = os.environ.get(options.get("key_env", ""), "")
    llama = options.get("dialect") == "llamacpp"

    def post(path: str, body: dict[str, Any] | None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        headers |= {"Authorization": f"Bearer {key}"} if key else {}
        with urllib.request.urlopen(urllib.request.Request(url + path, data, headers)) as reply:
            return json.load(reply)

    model = options.get("model") or ("" if llama else post("/v1/models", None)["data"][0]["id"])

    def answer(request: dict[str, Any]) -> list[int]:
        # Whatever a server might have a default for is said.
        law = {
            **{"temperature": 0.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0},
            **{"repetition_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0},
            **request.get("sampling", {}),
            "prompt": request["prompt_ids"],
            "seed": request.get("seed", 0) % 2**31,
            "stop": request.get("stop", []),
            "ignore_eos": request.get("ignore_eos", False),
        }
        if llama:
            law |= {"n_predict": request["max_new_tokens"], "return_tokens": True}
            law |= {"cache_prompt": False, "repeat_penalty": law.pop("repetition_penalty")}
            law |= {"samplers": ["penalties", "temperature", "top_k", "top_p", "min_p"]}
            found: list[int] = post("/completion", law)["tokens"]
            return found
        law |= {"model": model, "max_tokens": request["max_new_tokens"], "return_token_ids": True}
        law |= {"top_k": law["top_k"] or -1, "stop_token_ids": request.get("stop_token_ids", [])}
        ids: list[int] = post("/v1/completions", law)["choices"][0]["token_ids"]
        return ids

    def ask(requests: Requests) -> dict[str, list[int]]:
        with concurrent.futures.ThreadPoolExecutor(max(1, len(requests))) as pool:
            keys = [request["key"] for request in requests]
            return dict(zip(keys, pool.map(answer, requests), strict=True))

    return ask


def loaded(facts: dict[str, Any], role: str) -> Any:
    """A model for transformers; of a pair that equivcheck knows by name, where that keeps it."""
    import torch
    import transformers

    where, setup = facts["models"].get(role), facts["setup"]
    if where is None:
        import equivcheck

        where = getattr(equivcheck.locate_pair(setup.get("pair", "tiny")), role)
    dtype = getattr(torch, setup.get("dtype", "float32"))
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(where, dtype=dtype)
    # A checkpoint's own settings would be mixed in wherever one is left out.
    blank: Any = transformers.GenerationConfig
    model.generation_config = blank()
    return model.eval()
