"""Ask engines by their public interfaces alone: a part of a bundle's script."""

from __future__ import annotations

import json
import pathlib
import runpy
from typing import Any

from equivcheck.pipeline.repeating.answers import (
    Ask,
    CannotRepeatError,
    RepeatedAnswer,
    Requests,
    located,
    neutral,
    of_concern,
    stop_ids,
    stream_seed,
)
from equivcheck.pipeline.repeating.by_url import by_http, two_roundings
from equivcheck.pipeline.repeating.in_process import by_openvino, by_vllm

RECORDED = "recorded"
"""In the place of a target: what it answered in the run."""

IN_PROCESS = {"vllm": by_vllm, "openvino": by_openvino}


def opened(spec: str, facts: dict[str, Any]) -> Ask:
    """An engine, ready to be asked."""
    name, options = parted(spec)
    if name == RECORDED:
        return by_record(facts)
    template = pathlib.Path(__file__).with_name(f"engine_{name}.py")
    if name.isidentifier() and template.exists():
        return by_template(template, options, facts)
    if name == "transformers":
        return by_generate(options, facts)
    if speaks(name, options):
        return by_http(options, facts)
    if name in IN_PROCESS:
        return IN_PROCESS[name](options, facts)
    return by_equivcheck(spec, facts)


def parted(spec: str) -> tuple[str, dict[str, str]]:
    """Name and options of an engine. A URL stands for ``http:url=URL``."""
    spec = spec.removeprefix("isolated:")
    if spec.startswith(("http://", "https://")):
        spec = f"http:url={spec}"
    name, _, rest = spec.partition(":")
    return name, dict(part.split("=", 1) for part in rest.split(",") if part)


def speaks(name: str, options: dict[str, str]) -> bool:
    """Whether an engine is a server that this file can ask: vLLM's, or llama.cpp's."""
    return name == "http" and options.get("dialect", "vllm") in ("vllm", "llamacpp")


def by_template(path: pathlib.Path, options: dict[str, str], facts: dict[str, Any]) -> Ask:
    """An engine by the file that its adapter put into the bundle."""
    made = runpy.run_path(str(path))["opened"](options, facts, lambda role: loaded(facts, role))
    return lambda requests: {key: RepeatedAnswer(ids) for key, ids in made(requests).items()}


def by_equivcheck(spec: str, facts: dict[str, Any]) -> Ask:
    """An engine of equivcheck's, by its public names."""
    import equivcheck

    engine = equivcheck.load_engine(spec, equivcheck.EngineSetup(**facts["setup"]))

    def ask(requests: Requests) -> dict[str, RepeatedAnswer]:
        made = []
        for each in requests:
            sampling = dict(each.get("sampling", {}))
            sampling["logit_bias"] = {
                int(id_): bias for id_, bias in sampling.get("logit_bias", {}).items()
            }
            sampling["banned_tokens"] = tuple(sampling.get("banned_tokens", ()))
            lists = {name: tuple(value) for name, value in each.items() if isinstance(value, list)}
            made.append(
                equivcheck.Request(**each | lists | {"sampling": equivcheck.Sampling(**sampling)})
            )
        return {
            answer.key: RepeatedAnswer(list(answer.token_ids), answer.finish_reason == "stop")
            for answer in engine.generate(made)
        }

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

    def answer(request: dict[str, Any]) -> RepeatedAnswer:
        sampling, prompt = neutral(request), torch.tensor([request["prompt_ids"]])
        known = {"temperature", "top_k", "top_p", "min_p", "repetition_penalty", "banned_tokens"}
        lacking = sorted(request.get("sampling", {}).keys() - known)
        if lacking := lacking + ["stop strings"] * bool(request.get("stop")):
            raise CannotRepeatError(f"this way of asking generate() has no {', '.join(lacking)}")
        drawn = {
            name: sampling[name] for name in ("temperature", "top_p", "min_p") if sampling[name]
        }
        drawing = {"top_k": sampling["top_k"], **drawn} if sampling["temperature"] else {}
        torch.manual_seed(stream_seed(request))
        output = model.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            max_new_tokens=request["max_new_tokens"],
            do_sample=bool(drawing),
            repetition_penalty=sampling["repetition_penalty"],
            suppress_tokens=sampling["banned_tokens"] or None,
            eos_token_id=stop_ids(request, facts) or None,
            pad_token_id=0,
            **drawing,
            **extra,
        )
        return RepeatedAnswer(output[0, len(request["prompt_ids"]) :].tolist())

    return lambda requests: {each["key"]: answer(each) for each in of_concern(requests, facts)}


def by_record(facts: dict[str, Any]) -> Ask:
    """What the target answered in the run."""
    told = recorded()
    answer = RepeatedAnswer(told["token_ids"], told["finish_reason"] == "stop")
    return lambda _: {facts["key"]: answer}


def recorded() -> dict[str, Any]:
    """The target's answer to the case, as it was written down."""
    path = pathlib.Path(__file__).with_name("evidence.json")
    for each in json.loads(path.read_text("utf-8")).get("answers", ()):
        if each["arm"] == "target":
            found: dict[str, Any] = each["generation"]
            return found
    raise CannotRepeatError("this bundle does not hold what the target answered")


def recorded_gap(facts: dict[str, Any], place: int) -> tuple[float, float]:
    """Nats by which the target's token led all others by its own scores, and what is allowed."""
    scores = recorded().get("scores")
    if not scores:
        raise CannotRepeatError("the target reported no log-probabilities")
    own, _, rival = scores[place]
    return own - rival, two_roundings(facts, min(own, rival))


def loaded(facts: dict[str, Any], role: str) -> Any:
    """A model for transformers."""
    import torch
    import transformers

    dtype = getattr(torch, facts["setup"].get("dtype", "float32"))
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(
        located(facts, role), dtype=dtype
    )
    # A checkpoint's own settings would be mixed in wherever one is left out.
    blank: Any = transformers.GenerationConfig
    model.generation_config = blank()
    return model.eval()
