"""A route in the words of serving engines, ready to paste. Pure.

Names as of vLLM 0.20 to 0.26, SGLang's STANDALONE and NGRAM algorithms, llama.cpp's `llama-server`
with `--spec-type`, transformers 5. An engine of another version may call them otherwise, and what
was measured with one engine is a guess about another.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping

from equivcheck.advise.policy import Route

LOOKUP_LONGEST, LOOKUP_SHORTEST = 3, 1
"""N-grams that the native lookup tries."""
TARGET_NAME, DRAFT_NAME = "TARGET", "DRAFT"
"""What stands for a model where the pair does not spell it out."""


def engine_settings(route: Route) -> dict[str, str]:
    """Engine to the line that switches the route on; empty where nothing is drafted."""
    if not route.num_speculative_tokens or route.drafter is None:
        return {}
    gamma, (target, draft) = route.num_speculative_tokens, models_of(route.pair)
    if route.drafter == "lookup":
        return {
            "vllm": flags({"--speculative-config": json.dumps(vllm_lookup(gamma))}),
            "sglang": flags(sglang_lookup(gamma)),
            "llama.cpp": flags({"-m": target, **llama_lookup(gamma)}),
            "transformers": arguments(transformers_lookup(gamma)),
        }
    return {
        "vllm": flags({"--speculative-config": json.dumps(vllm_model(gamma, draft=draft))}),
        "sglang": flags(sglang_model(gamma, draft=draft)),
        "llama.cpp": flags({"-m": target, **llama_model(gamma, draft=draft)}),
        "transformers": (
            f"assistant.generation_config.update({arguments(transformers_assistant(gamma))}); "
            f"model.generate(..., assistant_model=assistant)"
        ),
    }


def models_of(pair: str) -> tuple[str, str]:
    """Target and draft as the pair names them; placeholders for a pair with a name."""
    target, plus, draft = pair.partition("+")
    return (target, draft) if plus and draft else (TARGET_NAME, DRAFT_NAME)


def vllm_model(gamma: int, *, draft: str) -> dict[str, object]:
    """`speculative_config` with a draft model."""
    return {"method": "draft_model", "model": draft, "num_speculative_tokens": gamma}


def vllm_lookup(gamma: int) -> dict[str, object]:
    """`speculative_config` with prompt lookup."""
    return {
        "method": "ngram",
        "num_speculative_tokens": gamma,
        "prompt_lookup_max": LOOKUP_LONGEST,
        "prompt_lookup_min": LOOKUP_SHORTEST,
    }


def sglang_model(gamma: int, *, draft: str) -> dict[str, object]:
    """A chain of gamma drafts; SGLang counts the last verified token as one more."""
    return {
        "--speculative-algorithm": "STANDALONE",
        "--speculative-draft-model-path": draft,
        "--speculative-num-steps": gamma,
        "--speculative-eagle-topk": 1,
        "--speculative-num-draft-tokens": gamma + 1,
    }


def sglang_lookup(gamma: int) -> dict[str, object]:
    """N-grams in place of a model."""
    return {"--speculative-algorithm": "NGRAM", "--speculative-num-draft-tokens": gamma + 1}


def llama_model(gamma: int, *, draft: str) -> dict[str, object]:
    """Without a least probability, so that gamma tokens are drafted whatever happens."""
    return {
        "--spec-type": "draft-simple",
        "--spec-draft-model": draft,
        "--spec-draft-n-max": gamma,
        "--spec-draft-p-min": 0,
    }


def llama_lookup(gamma: int) -> dict[str, object]:
    """N-grams in place of a model."""
    return {"--spec-type": "ngram-simple", "--spec-draft-n-max": gamma}


def transformers_assistant(gamma: int) -> dict[str, object]:
    """Of the assistant's generation config."""
    return {
        "num_assistant_tokens": gamma,
        "num_assistant_tokens_schedule": "constant",
        "assistant_confidence_threshold": 0.0,
    }


def transformers_lookup(gamma: int) -> dict[str, object]:
    """Of `generate()`."""
    return {"prompt_lookup_num_tokens": gamma, "max_matching_ngram_size": LOOKUP_LONGEST}


def flags(named: Mapping[str, object]) -> str:
    """``--a 1 --b 2``, quoted for a shell."""
    return " ".join(f"{name} {shlex.quote(str(value))}" for name, value in named.items())


def arguments(named: Mapping[str, object]) -> str:
    """``a=1, b='x'``."""
    return ", ".join(f"{name}={value!r}" for name, value in named.items())
