"""Engine `openvino`: OpenVINO GenAI's pipeline on a CPU, plain, with lookup or a draft model.

One request at a time. The pipeline reads a GGUF file, or a folder that OpenVINO's exporter wrote.
A draft model has to be such a folder; of a GGUF file OpenVINO writes one itself.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta, Struct

from equivcheck.core.engine import Capabilities
from equivcheck.core.errors import EngineError, SettingsError, describe
from equivcheck.core.generation import DraftCounts, FinishReason, Generation, Request
from equivcheck.core.refusals import lacking
from equivcheck.core.settings import EngineSetup
from equivcheck.engines.naming import EngineSpec
from equivcheck.engines.registry import decode_options
from equivcheck.engines.serving import misfit
from equivcheck.pairs.files import locate_pair
from equivcheck.pairs.sources import resolve

PRECISIONS = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}
LACKS = ("logit_bias", "banned_tokens", "stop", "ignore_eos+stop_token_ids")
"""Without a counterpart in `GenerationConfig`. Stop strings it has, but it leaves out the tokens
that complete one, so that where an output ended cannot be told."""
RANGES = {"presence_penalty": (-2.0, 2.0), "frequency_penalty": (-2.0, 2.0), "min_p": (0.0, 0.999)}


class OpenvinoOptions(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What can follow ``openvino:``."""

    mode: Literal["plain", "lookup", "draft_model"] = "plain"
    """lookup: drafts copied from the text so far; draft_model: by the pair's draft."""
    gamma: Annotated[int, Meta(ge=1, le=63)] = 4
    """Draft tokens per step; without meaning for plain."""
    lookup_max: Annotated[int, Meta(ge=1)] = 3
    """Longest text that is looked up, in tokens."""
    model: str | None = None
    """GGUF file or OpenVINO folder; none: the pair's target, which has to be a GGUF file."""
    draft: str | None = None
    """OpenVINO folder of the draft model; none: the pair's draft, which has to be a GGUF file."""
    kv: Literal["f32", "f16", "bf16", "u8"] | None = None
    """Precision of the KV cache; none: the setup's dtype. OpenVINO's own default is u8."""


def open_engine(options: Mapping[str, str], setup: EngineSetup) -> OpenvinoEngine:
    """Open the pipeline.

    Raises:
        SettingsError: an option is unknown or out of range, or there is no file to read.
        PairError: the pair cannot be had.
        EngineError: OpenVINO does not take the model.
    """
    return OpenvinoEngine(decode_options("openvino", options, OpenvinoOptions), setup)


class OpenvinoEngine:
    """`openvino_genai.LLMPipeline` under the engine protocol."""

    def __init__(self, options: OpenvinoOptions, setup: EngineSetup) -> None:
        """Load the model in OpenVINO."""
        import openvino
        import openvino_genai

        self.options, self.setup = options, setup
        self.tensor: Any = openvino.Tensor
        self.library: Any = openvino_genai
        self.pair = locate_pair(setup.pair)
        self.precision = PRECISIONS[setup.dtype]
        properties: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": self.precision,
            "KV_CACHE_PRECISION": options.kv or self.precision,
        }
        if setup.threads is not None:
            properties["INFERENCE_NUM_THREADS"] = setup.threads
        if options.mode == "lookup":
            properties["prompt_lookup"] = True
        try:
            if options.mode == "draft_model":
                properties["draft_model"] = self.draft(**properties)
            self.pipeline: Any = openvino_genai.LLMPipeline(self.model(), "CPU", **properties)
        except (RuntimeError, IndexError, ValueError) as error:
            raise EngineError(f"openvino: cannot open {setup.pair}: {describe(error)}") from error

    def draft(self, **properties: Any) -> Any:
        """The draft model as OpenVINO takes it.

        Raises:
            SettingsError: neither the option nor the pair names one that can be read.
        """
        if self.options.draft is not None:
            return self.library.draft_model(self.options.draft, "CPU", **properties)
        source = resolve(self.setup.pair).draft
        if source is None or source.kind != "gguf":
            raise SettingsError(
                f"openvino: mode=draft_model, but pair {self.setup.pair!r} has no draft as a GGUF "
                f"file; name one as TARGET.gguf+DRAFT.gguf, or an OpenVINO folder as draft=FOLDER"
            )
        with tempfile.TemporaryDirectory() as folder:
            # Written beside the file, where another model's would be overwritten.
            beside = Path(folder) / "draft.gguf"
            beside.symlink_to(Path(source.location).resolve())
            self.library.LLMPipeline(str(beside), "CPU", enable_save_ov_model=True, **properties)
            return self.library.draft_model(folder, "CPU", **properties)

    def model(self) -> str:
        """The file or folder that OpenVINO reads.

        Raises:
            SettingsError: neither the option nor the pair names one.
        """
        if self.options.model is not None:
            return self.options.model
        source = resolve(self.setup.pair).target
        if source.kind == "gguf":
            return source.location
        raise SettingsError(
            f"openvino: pair {self.setup.pair!r} is no GGUF file; write one by equivcheck pairs "
            f"{self.setup.pair} --gguf FOLDER --gguf-precision f16, and name FOLDER/target.gguf "
            f"as the pair, or an OpenVINO folder of the same weights as model=FOLDER"
        )

    @property
    def capabilities(self) -> Capabilities:
        by_model = self.options.mode == "draft_model"
        given = {
            field: str(value)
            for field in OpenvinoOptions.__struct_fields__
            if (value := getattr(self.options, field)) != getattr(OpenvinoOptions(), field)
            or field == "mode"
            or (field == "gamma" and self.options.mode != "plain")
        }
        return Capabilities(
            engine=str(EngineSpec(name="openvino", options=given)),
            device="cpu",
            dtype=self.setup.dtype,
            threads=self.setup.threads,
            num_speculative_tokens=0 if self.options.mode == "plain" else self.options.gamma,
            rule="coupled",
            # Drawn beside a draft model, most requests end in a failed check of OpenVINO's own.
            sampled=not by_model,
            method={"lookup": "ngram", "draft_model": "draft_model"}.get(self.options.mode),
            reports_counts=by_model,
            refuses=LACKS,
            ranges=RANGES,
            versions={"openvino-genai": str(self.library.__version__)},
        )

    def generate(self, requests: Sequence[Request]) -> Iterator[Generation]:
        """Decode requests one after the other."""
        for request in requests:
            problem = misfit(request, vocab=self.pair.vocab_size, context=self.setup.context)
            if needed := lacking(self.capabilities, request):
                problem = f"it does not serve {' and '.join(needed)}"
            if problem:
                raise EngineError(f"openvino: cannot serve {request.key}: {problem}")
        for request in requests:
            yield self.answer(request)

    def answer(self, request: Request) -> Generation:
        """Decode one request.

        Raises:
            EngineError: the pipeline refused it or broke; names the request.
        """
        prompt = np.array([request.prompt_ids], dtype=np.int64)
        inputs = self.library.TokenizedInputs(
            self.tensor(prompt), self.tensor(np.ones_like(prompt))
        )
        started = time.perf_counter()
        try:
            found = self.pipeline.generate(inputs, self.config(request))
        except (RuntimeError, ValueError) as error:
            raise EngineError(
                f"openvino: generate() broke on {request.key}: {describe(error)}"
            ) from error
        token_ids = tuple(found.tokens[0])
        return Generation(
            key=request.key,
            token_ids=token_ids,
            finish_reason=self.finish_reason(request, token_ids),
            prompt_tokens=len(request.prompt_ids),
            counts=counts_of(found.extended_perf_metrics)
            if self.options.mode == "draft_model"
            else None,
            total_seconds=time.perf_counter() - started,
        )

    def config(self, request: Request) -> Any:
        """A request in OpenVINO's words."""
        sampling = request.sampling
        config = self.library.GenerationConfig()
        config.apply_chat_template = False
        config.max_new_tokens = request.max_new_tokens
        config.min_new_tokens = sampling.min_new_tokens
        config.do_sample = not sampling.greedy
        if not sampling.greedy:
            config.temperature = sampling.temperature
            config.top_p = sampling.top_p
            config.min_p = sampling.min_p
            if sampling.top_k:
                config.top_k = sampling.top_k
            config.rng_seed = request.stream_seed % 2**31
        config.repetition_penalty = sampling.repetition_penalty
        config.presence_penalty = sampling.presence_penalty
        config.frequency_penalty = sampling.frequency_penalty
        ends = () if request.ignore_eos else self.pair.eos_token_ids
        # That switches off every stop id.
        config.ignore_eos = request.ignore_eos
        config.stop_token_ids = {*ends, *request.stop_token_ids}
        if self.options.mode != "plain":
            config.num_assistant_tokens = self.options.gamma
        if self.options.mode == "lookup":
            config.max_ngram_size = self.options.lookup_max
        return config

    def finish_reason(self, request: Request, token_ids: Sequence[int]) -> FinishReason:
        """Why the last token ended the request; a stop goes before a length limit."""
        last = token_ids[-1] if token_ids else None
        if not request.ignore_eos and last in self.pair.eos_token_ids:
            return "eos"
        return "stop" if last in request.stop_token_ids else "length"

    def close(self) -> None:
        """Let go of the pipeline."""
        del self.pipeline


def counts_of(metrics: Any) -> DraftCounts:
    """A request's drafts; by slot where the tokens that its steps emitted add up to them.

    OpenVINO's own number of drafts leaves out those of a step that ended the text.
    """
    accepted = metrics.get_num_accepted_tokens()
    kept = [emitted - 1 for emitted in metrics.main_model_metrics.raw_metrics.m_batch_sizes]
    slots = tuple(sum(each > slot for each in kept) for slot in range(max(kept, default=0)))
    return DraftCounts(
        drafted=accepted + metrics.get_num_rejected_tokens(),
        accepted=accepted,
        steps=len(kept),
        accepted_by_slot=slots if sum(slots) == accepted else (),
    )
