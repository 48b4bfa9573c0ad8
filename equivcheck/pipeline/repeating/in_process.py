"""Ask vLLM and OpenVINO GenAI in this process, by their public APIs: a part of a bundle's script.

Models are found as for transformers; OpenVINO takes a GGUF file or a folder of its own.
"""

from __future__ import annotations

import os
from typing import Any

from equivcheck.pipeline.repeating.answers import (
    Ask,
    CannotRepeatError,
    RepeatedAnswer,
    Requests,
    allowed_ids,
    located,
    neutral,
    of_concern,
    stop_ids,
    stream_seed,
)


def by_vllm(options: dict[str, str], facts: dict[str, Any]) -> Ask:
    """`vllm.LLM`, all requests of a batch at once."""
    setup, mode = facts["setup"], options.get("mode", "plain")
    # As in the run: the engine core in this process, on as many threads.
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
    if threads := setup.get("threads"):
        os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
        os.environ["OMP_NUM_THREADS"] = str(threads)
    import vllm
    from vllm.platforms import current_platform

    given: dict[str, Any] = {}
    if mode != "plain":
        drafts: dict[str, Any] = {"method": mode}
        drafts["num_speculative_tokens"] = int(options.get("gamma", 4))
        if mode == "ngram":
            drafts["prompt_lookup_min"] = int(options.get("lookup_min", 1))
            drafts["prompt_lookup_max"] = int(options.get("lookup_max", 3))
        elif mode == "draft_model":
            drafts["model"] = located(facts, "draft")
        elif "head" in options:
            drafts["model"] = options["head"]
        given["speculative_config"] = drafts
    llm = vllm.LLM(
        model=located(facts, "target"),
        dtype=setup.get("dtype", "float32"),
        max_model_len=setup.get("context", 1024),
        max_num_seqs=int(options.get("batch", setup["batch_size"])),
        enforce_eager=options.get("eager", str(current_platform.is_cpu())).lower() == "true",
        enable_prefix_caching=options.get("prefix_cache", "true") == "true",
        generation_config="vllm",
        **given,
    )

    def parameters(request: dict[str, Any]) -> Any:
        sampling = neutral(request)
        return vllm.SamplingParams(
            max_tokens=request["max_new_tokens"],
            min_tokens=sampling.pop("min_new_tokens"),
            allowed_token_ids=allowed_ids(sampling.pop("banned_tokens"), facts),
            logit_bias={int(id_): bias for id_, bias in sampling.pop("logit_bias").items()} or None,
            stop=request.get("stop", []),
            stop_token_ids=stop_ids(request, facts),
            ignore_eos=True,
            include_stop_str_in_output=True,
            seed=stream_seed(request),
            **sampling,
        )

    def ask(requests: Requests) -> dict[str, RepeatedAnswer]:
        prompts: Any = [{"prompt_token_ids": each["prompt_ids"]} for each in requests]
        asked = [parameters(each) for each in requests]
        found = [each.outputs[0] for each in llm.generate(prompts, asked, use_tqdm=False)]
        answers = [
            RepeatedAnswer(list(each.token_ids), isinstance(each.stop_reason, str))
            for each in found
        ]
        return dict(zip([each["key"] for each in requests], answers, strict=True))

    return ask


def by_openvino(options: dict[str, str], facts: dict[str, Any]) -> Ask:
    """`openvino_genai.LLMPipeline`, one request after the other."""
    import numpy as np
    import openvino
    import openvino_genai

    setup, mode = facts["setup"], options.get("mode", "plain")
    precision = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}
    precision_of = precision[setup.get("dtype", "float32")]
    given: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": precision_of,
        "KV_CACHE_PRECISION": options.get("kv", precision_of),
    }
    if threads := setup.get("threads"):
        given["INFERENCE_NUM_THREADS"] = threads
    if mode == "lookup":
        given["prompt_lookup"] = True
    if mode == "draft_model":
        folder = options.get("draft") or located(facts, "draft")
        given["draft_model"] = openvino_genai.draft_model(folder, "CPU", **given)
    model = options.get("model") or located(facts, "target")
    pipeline = openvino_genai.LLMPipeline(model, "CPU", **given)

    def answer(request: dict[str, Any]) -> RepeatedAnswer:
        sampling, config = neutral(request), openvino_genai.GenerationConfig()
        if request.get("stop") or sampling["banned_tokens"] or sampling["logit_bias"]:
            raise CannotRepeatError(
                "this way of asking OpenVINO has no stop strings, bans or biases"
            )
        config.apply_chat_template = False
        config.max_new_tokens = request["max_new_tokens"]
        if drawn := sampling["temperature"] > 0:
            config.rng_seed = stream_seed(request) % 2**31
        config.do_sample = drawn
        drawing = ("temperature", "top_p", "min_p", *["top_k"] * bool(sampling["top_k"]))
        penalties = ("repetition_penalty", "presence_penalty", "frequency_penalty")
        for name in (*penalties, "min_new_tokens", *drawing * drawn):
            setattr(config, name, sampling[name])
        config.ignore_eos = bool(request.get("ignore_eos"))
        config.stop_token_ids = set(stop_ids(request, facts))
        if mode != "plain":
            config.num_assistant_tokens = int(options.get("gamma", 4))
        if mode == "lookup":
            config.max_ngram_size = int(options.get("lookup_max", 3))
        prompt = np.array([request["prompt_ids"]], dtype=np.int64)
        tokens = openvino.Tensor(prompt), openvino.Tensor(np.ones_like(prompt))
        output: Any = pipeline.generate(openvino_genai.TokenizedInputs(*tokens), config)
        return RepeatedAnswer(list(output.tokens[0]))

    return lambda requests: {each["key"]: answer(each) for each in of_concern(requests, facts)}
