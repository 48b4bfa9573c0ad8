"""The names that other projects use, as far as they are known here."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import yaml
from transformers import GenerationConfig

from equivcheck.advise import engine_settings as settings
from equivcheck.advise.policy import Route

MODEL = Route(
    workload="code",
    decision="enable",
    enabled=True,
    arm="native:gamma=4",
    pair="org/big+org/small",
    num_speculative_tokens=4,
    drafter="model",
    baseline="stock",
    reasons=(),
    prompts=8,
)
LOOKUP = msgspec.structs.replace(MODEL, drafter="lookup", pair="smollm2")


def flags_of(line: str) -> dict[str, str]:
    words = shlex.split(line)
    return dict(zip(words[::2], words[1::2], strict=True))


def options_of(line: str) -> dict[str, object]:
    """Of TensorRT-LLM, as YAML reads them."""
    found: dict[str, dict[str, object]] = yaml.safe_load(line)
    return found["speculative_config"]


def told(method: str | None) -> Route:
    return msgspec.structs.replace(MODEL, drafter=None, method=method, num_speculative_tokens=3)


def test_a_draft_model_in_every_engines_words() -> None:
    lines = settings.engine_settings(MODEL)
    vllm = flags_of(lines["vllm"])
    assert json.loads(vllm["--speculative-config"]) == {
        "method": "draft_model",
        "model": "org/small",
        "num_speculative_tokens": 4,
    }
    assert flags_of(lines["sglang"]) == {
        "--speculative-algorithm": "STANDALONE",
        "--speculative-draft-model-path": "org/small",
        "--speculative-num-steps": "4",
        "--speculative-eagle-topk": "1",
        "--speculative-num-draft-tokens": "5",
    }
    assert flags_of(lines["llama.cpp"]) == {
        "-m": "org/big",
        "--spec-type": "draft-simple",
        "--spec-draft-model": "org/small",
        "--spec-draft-n-max": "4",
        "--spec-draft-p-min": "0",
    }
    assert "assistant_model=assistant" in lines["transformers"]


def test_prompt_lookup_in_every_engines_words() -> None:
    lines = settings.engine_settings(LOOKUP)
    assert json.loads(flags_of(lines["vllm"])["--speculative-config"]) == {
        "method": "ngram",
        "num_speculative_tokens": 4,
        "prompt_lookup_max": 3,
        "prompt_lookup_min": 1,
    }
    assert flags_of(lines["sglang"]) == {
        "--speculative-algorithm": "NGRAM",
        "--speculative-num-draft-tokens": "5",
    }
    assert flags_of(lines["llama.cpp"]) == {
        "-m": "TARGET",
        "--spec-type": "ngram-simple",
        "--spec-draft-n-max": "4",
    }
    assert lines["transformers"] == "prompt_lookup_num_tokens=4, max_matching_ngram_size=3"


def test_eagle3_in_every_engines_words() -> None:
    lines = settings.engine_settings(told("eagle3"))
    assert json.loads(flags_of(lines["vllm"])["--speculative-config"]) == {
        "method": "eagle3",
        "model": "HEAD",
        "num_speculative_tokens": 3,
    }
    assert flags_of(lines["sglang"]) == {
        "--speculative-algorithm": "EAGLE3",
        "--speculative-draft-model-path": "HEAD",
        "--speculative-num-steps": "3",
        "--speculative-eagle-topk": "1",
        "--speculative-num-draft-tokens": "4",
    }
    assert options_of(lines["tensorrt-llm"]) == {
        "decoding_type": "Eagle3",
        "max_draft_len": 3,
        "speculative_model": "HEAD",
    }
    assert flags_of(lines["llama.cpp"])["--spec-type"] == "draft-eagle3"
    assert "transformers" not in lines


def test_mtp_in_every_engines_words() -> None:
    lines = settings.engine_settings(told("mtp"))
    assert json.loads(flags_of(lines["vllm"])["--speculative-config"]) == {
        "method": "mtp",
        "num_speculative_tokens": 3,
    }
    assert flags_of(lines["sglang"]) == {
        "--speculative-algorithm": "EAGLE",
        "--speculative-num-steps": "3",
        "--speculative-eagle-topk": "1",
        "--speculative-num-draft-tokens": "4",
    }
    assert options_of(lines["tensorrt-llm"]) == {"decoding_type": "MTP", "max_draft_len": 3}
    assert "--spec-draft-model" not in flags_of(lines["llama.cpp"])
    config: Any = GenerationConfig
    assert config(use_mtp=True).use_mtp
    assert lines["transformers"] == "model.generate(..., use_mtp=True)"


@pytest.mark.parametrize(("method", "same"), [("draft_model", MODEL), ("ngram", LOOKUP)])
def test_an_engine_that_tells_its_method_need_not_name_a_drafter(method: str, same: Route) -> None:
    silent = msgspec.structs.replace(same, drafter=None, method=method)
    assert settings.engine_settings(silent) == settings.engine_settings(same)


def test_suffix_and_block_drafts_where_an_engine_has_them() -> None:
    lines = settings.engine_settings(told("suffix"))
    assert list(lines) == ["vllm"]
    assert json.loads(flags_of(lines["vllm"])["--speculative-config"])["method"] == "suffix"
    lines = settings.engine_settings(told("dflash"))
    assert list(lines) == ["vllm", "transformers"]
    found = json.loads(flags_of(lines["vllm"])["--speculative-config"])
    assert (found["method"], found["model"]) == ("dflash", "HEAD")
    assert "speculation_type='dflash'" in lines["transformers"]


@pytest.mark.parametrize("method", ["medusa", None])
def test_what_is_not_known_has_no_settings(method: str | None) -> None:
    assert settings.engine_settings(told(method)) == {}


@pytest.mark.parametrize("make", [settings.transformers_assistant, settings.transformers_lookup])
def test_transformers_knows_the_names(make: Callable[[int], dict[str, object]]) -> None:
    config: Any = GenerationConfig
    assert config().update(**make(4)) == {}
    assert config().update(num_speculative_tokens=4) == {"num_speculative_tokens": 4}


def test_a_strange_path_stays_one_word() -> None:
    route = msgspec.structs.replace(MODEL, pair="a b+c'; rm x")
    lines = settings.engine_settings(route)
    assert flags_of(lines["sglang"])["--speculative-draft-model-path"] == "c'; rm x"
    assert json.loads(flags_of(lines["vllm"])["--speculative-config"])["model"] == "c'; rm x"


def test_nothing_to_switch_on_without_drafts() -> None:
    plain = msgspec.structs.replace(MODEL, num_speculative_tokens=0, drafter=None)
    assert settings.engine_settings(plain) == {}
