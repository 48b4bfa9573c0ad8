"""A route in the words of serving engines, ready to paste. Pure.

Names as of vLLM 0.20 to 0.32, SGLang 0.5, TensorRT-LLM 1.4 (the file of ``trtllm-serve --config``),
llama.cpp's `llama-server` with `--spec-type`, transformers 5. An engine of another version may call
them otherwise, and what was measured with one engine is a guess about another.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping

from equivcheck.advise.policy import Route

LOOKUP_LONGEST, LOOKUP_SHORTEST = 3, 1
"""N-grams that the native lookup tries."""
TARGET_NAME, DRAFT_NAME, HEAD_NAME = "TARGET", "DRAFT", "HEAD"
"""What stands for a model where the pair does not spell it out."""
METHOD_OF = {"model": "draft_model", "lookup": "ngram"}
"""Method of a drafter, where an engine does not tell its method."""


def engine_settings(route: Route) -> dict[str, str]:
    """Engine to the line that switches the route on; empty where nothing is drafted.

    Empty, too, where nobody knows how: the method is not told, or one that is not known here.
    """
    method = route.method or METHOD_OF.get(route.drafter or "")
    if not route.num_speculative_tokens or method not in METHODS:
        return {}
    return METHODS[method](route.num_speculative_tokens, models_of(route.pair))


def draft_model(gamma: int, models: tuple[str, str]) -> dict[str, str]:
    """A model of its own drafts."""
    target, draft = models
    return {
        "vllm": vllm(vllm_model(gamma, draft=draft)),
        "sglang": flags(sglang_model(gamma, draft=draft)),
        "tensorrt-llm": tensorrt("DraftTarget", gamma, {"speculative_model": draft}),
        "llama.cpp": flags({"-m": target, **llama_model(gamma, draft=draft)}),
        "transformers": (
            f"assistant.generation_config.update({arguments(transformers_assistant(gamma))}); "
            f"model.generate(..., assistant_model=assistant)"
        ),
    }


def ngram(gamma: int, models: tuple[str, str]) -> dict[str, str]:
    """Drafts are copied from the text so far."""
    target, _ = models
    return {
        "vllm": vllm(vllm_lookup(gamma)),
        "sglang": flags(sglang_lookup(gamma)),
        "tensorrt-llm": tensorrt("NGram", gamma, {"max_matching_ngram_size": LOOKUP_LONGEST}),
        "llama.cpp": flags({"-m": target, **llama_lookup(gamma)}),
        "transformers": arguments(transformers_lookup(gamma)),
    }


def eagle3(gamma: int, models: tuple[str, str]) -> dict[str, str]:
    """A trained head drafts from what three layers of the target computed."""
    target, _ = models
    head = {"method": "eagle3", "model": HEAD_NAME, "num_speculative_tokens": gamma}
    return {
        "vllm": vllm(head),
        "sglang": flags(sglang_chain("EAGLE3", gamma, draft=HEAD_NAME)),
        "tensorrt-llm": tensorrt("Eagle3", gamma, {"speculative_model": HEAD_NAME}),
        "llama.cpp": flags({"-m": target, **llama_head("draft-eagle3", gamma, draft=HEAD_NAME)}),
    }


def mtp(gamma: int, models: tuple[str, str]) -> dict[str, str]:
    """Layers of the target itself draft; transformers drafts as many tokens as there are."""
    target, _ = models
    return {
        "vllm": vllm({"method": "mtp", "num_speculative_tokens": gamma}),
        "sglang": flags(sglang_chain("EAGLE", gamma)),
        "tensorrt-llm": tensorrt("MTP", gamma),
        "llama.cpp": flags({"-m": target, **llama_head("draft-mtp", gamma)}),
        "transformers": "model.generate(..., use_mtp=True)",
    }


def suffix(gamma: int, models: tuple[str, str]) -> dict[str, str]:
    """Drafts are copied from this and from earlier answers, up to gamma: vLLM's alone."""
    return {"vllm": vllm({"method": "suffix", "num_speculative_tokens": gamma})}


def dflash(gamma: int, models: tuple[str, str]) -> dict[str, str]:
    """A block drafter; transformers drafts as many tokens as its blocks have."""
    return {
        "vllm": vllm({"method": "dflash", "model": HEAD_NAME, "num_speculative_tokens": gamma}),
        "transformers": ("model.generate(..., assistant_model=drafter, speculation_type='dflash')"),
    }


METHODS: dict[str, Callable[[int, tuple[str, str]], dict[str, str]]] = {
    "draft_model": draft_model,
    "ngram": ngram,
    "eagle3": eagle3,
    "mtp": mtp,
    "suffix": suffix,
    "dflash": dflash,
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


def vllm(speculative: Mapping[str, object]) -> str:
    """vLLM takes JSON."""
    return flags({"--speculative-config": json.dumps(speculative)})


def tensorrt(kind: str, gamma: int, more: Mapping[str, object] | None = None) -> str:
    """A line of TensorRT-LLM's file of options, which is YAML; JSON is."""
    told = {"decoding_type": kind, "max_draft_len": gamma, **(more or {})}
    return f"speculative_config: {json.dumps(told)}"


def sglang_model(gamma: int, *, draft: str) -> dict[str, object]:
    """A chain of gamma drafts by a model of its own."""
    return sglang_chain("STANDALONE", gamma, draft=draft)


def sglang_chain(algorithm: str, gamma: int, *, draft: str | None = None) -> dict[str, object]:
    """A chain of gamma drafts; SGLang counts the last verified token as one more."""
    return {
        "--speculative-algorithm": algorithm,
        **({} if draft is None else {"--speculative-draft-model-path": draft}),
        "--speculative-num-steps": gamma,
        "--speculative-eagle-topk": 1,
        "--speculative-num-draft-tokens": gamma + 1,
    }


def sglang_lookup(gamma: int) -> dict[str, object]:
    """N-grams in place of a model."""
    return {"--speculative-algorithm": "NGRAM", "--speculative-num-draft-tokens": gamma + 1}


def llama_model(gamma: int, *, draft: str) -> dict[str, object]:
    """A model of its own drafts."""
    return llama_head("draft-simple", gamma, draft=draft)


def llama_head(kind: str, gamma: int, *, draft: str | None = None) -> dict[str, object]:
    """Without a least probability, so that gamma tokens are drafted whatever happens."""
    return {
        "--spec-type": kind,
        **({} if draft is None else {"--spec-draft-model": draft}),
        "--spec-draft-n-max": gamma,
        "--spec-draft-p-min": 0,
    }


def llama_lookup(gamma: int) -> dict[str, object]:
    """N-grams in place of a model."""
    return {"--spec-type": "ngram-simple", "--spec-draft-n-max": gamma}


def transformers_assistant(gamma: int) -> dict[str, object]:
    """Settings of the assistant's generation config."""
    return {
        "num_assistant_tokens": gamma,
        "num_assistant_tokens_schedule": "constant",
        "assistant_confidence_threshold": 0.0,
    }


def transformers_lookup(gamma: int) -> dict[str, object]:
    """Arguments of `generate()`."""
    return {"prompt_lookup_num_tokens": gamma, "max_matching_ngram_size": LOOKUP_LONGEST}


def flags(named: Mapping[str, object]) -> str:
    """``--a 1 --b 2``, quoted for a shell."""
    return " ".join(f"{name} {shlex.quote(str(value))}" for name, value in named.items())


def arguments(named: Mapping[str, object]) -> str:
    """``a=1, b='x'``."""
    return ", ".join(f"{name}={value!r}" for name, value in named.items())
