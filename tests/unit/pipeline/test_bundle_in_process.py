"""A bundle's script asks vLLM and OpenVINO by their public APIs, in the words of the engines."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from equivcheck.pipeline.repeating.answers import RepeatedAnswer, stream_seed
from equivcheck.pipeline.repeating.asking import opened

FACTS: dict[str, Any] = {
    "key": "few/a",
    "models": {"target": "models/target", "draft": "models/draft"},
    "setup": {"dtype": "bfloat16", "batch_size": 3, "context": 512},
    "eos_token_ids": [0],
    "vocab_size": 6,
}
REQUEST: dict[str, Any] = {
    "key": "few/a",
    "prompt_ids": [1, 2],
    "max_new_tokens": 3,
    "sampling": {"temperature": 0.5, "banned_tokens": [4], "logit_bias": {"5": 1.0}},
    "stop": ["."],
}


def module(name: str, monkeypatch: pytest.MonkeyPatch, **has: object) -> None:
    made = ModuleType(name)
    vars(made).update(has)
    monkeypatch.setitem(sys.modules, name, made)


def test_vllm_is_opened_and_asked_as_in_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    class Model:
        def __init__(self, **given: Any) -> None:
            seen.update(given)

        def generate(self, prompts: Any, asked: Any, **_: Any) -> list[Any]:
            seen["asked"] = asked
            ids = [[*each["prompt_token_ids"], 7] for each in prompts]
            return [
                SimpleNamespace(outputs=[SimpleNamespace(token_ids=each, stop_reason=".")])
                for each in ids
            ]

    monkeypatch.setattr("os.environ", {})
    module("vllm", monkeypatch, LLM=Model, SamplingParams=dict)
    current = SimpleNamespace(is_cpu=lambda: True)
    module("vllm.platforms", monkeypatch, current_platform=current)
    ask = opened("isolated:vllm:mode=draft_model,gamma=2", FACTS)
    assert ask([REQUEST, REQUEST | {"key": "few/b"}]) == {
        "few/a": RepeatedAnswer([1, 2, 7], True),
        "few/b": RepeatedAnswer([1, 2, 7], True),
    }
    assert seen["speculative_config"] == {
        "method": "draft_model",
        "num_speculative_tokens": 2,
        "model": "models/draft",
    }
    assert (seen["model"], seen["dtype"], seen["max_num_seqs"]) == ("models/target", "bfloat16", 3)
    assert seen["asked"][0] == {
        "max_tokens": 3,
        "min_tokens": 0,
        "allowed_token_ids": [0, 1, 2, 3, 5],
        "logit_bias": {5: 1.0},
        "stop": ["."],
        "stop_token_ids": [0],
        "ignore_eos": True,
        "include_stop_str_in_output": True,
        "seed": stream_seed(REQUEST),
        "temperature": 0.5,
        "top_k": 0,
        "top_p": 1.0,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
    }


def test_openvino_is_opened_and_asked_as_in_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    class Pipeline:
        def __init__(self, model: str, device: str, **given: Any) -> None:
            seen.update(given, model=model)

        def generate(self, inputs: Any, config: Any) -> Any:
            seen.update(vars(config), inputs=inputs[0].tolist())
            return SimpleNamespace(tokens=[[7, 0]])

    module("openvino", monkeypatch, Tensor=lambda values: values)
    module(
        "openvino_genai",
        monkeypatch,
        LLMPipeline=Pipeline,
        GenerationConfig=SimpleNamespace,
        TokenizedInputs=lambda *tensors: tensors,
    )
    ask = opened("openvino:mode=lookup,gamma=2", FACTS)
    request = {"key": "few/a", "prompt_ids": [1, 2], "max_new_tokens": 3}
    least = request | {"sampling": {"min_new_tokens": 2}}
    # Requests are answered one by one, so that the others make no difference.
    assert ask([least, REQUEST | {"key": "few/b"}]) == {"few/a": RepeatedAnswer([7, 0])}
    assert seen == {
        "INFERENCE_PRECISION_HINT": "bf16",
        "KV_CACHE_PRECISION": "bf16",
        "prompt_lookup": True,
        "model": "models/target",
        "inputs": [[1, 2]],
        "apply_chat_template": False,
        "max_new_tokens": 3,
        "min_new_tokens": 2,
        "do_sample": False,
        "repetition_penalty": 1.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "ignore_eos": False,
        "stop_token_ids": {0},
        "num_assistant_tokens": 2,
        "max_ngram_size": 3,
    }
