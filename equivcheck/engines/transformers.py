"""Engine `transformers`: the library's own `generate()`, plain, assisted or with prompt lookup.

One request at a time, as assisted generation has it. The library decodes; this file only says the
request in its words and reads its answer. Schedule and confidence of the draft are held constant,
so that nothing adapts from one request to the next. Compiled, all requests share one static cache,
so that captured graphs find their buffers where they were.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

import torch
import transformers
from msgspec import Meta, Struct
from transformers import PreTrainedModel

from equivcheck.core.detokenise import detokeniser, stop_completed_at
from equivcheck.core.engine import Capabilities
from equivcheck.core.errors import EngineError, SettingsError
from equivcheck.core.generation import FinishReason, Generation, Request
from equivcheck.core.settings import EngineSetup
from equivcheck.decoding.contract import device_name
from equivcheck.engines.device import choose_device, configure_arithmetic, load_setup
from equivcheck.engines.naming import EngineSpec
from equivcheck.engines.registry import decode_options
from equivcheck.engines.serving import misfit
from equivcheck.engines.transformers_config import (
    compiling,
    generation_config,
    processors,
    quiet,
    shell,
    static_cache,
    stopping,
)
from equivcheck.engines.transformers_steps import StepRecorder, Window, cut_steps
from equivcheck.pairs.load import LoadedPair


class TransformersOptions(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What can follow ``transformers:``."""

    mode: Literal["plain", "assisted", "lookup"] = "plain"
    """assisted: with the pair's draft model; lookup: drafts copied from the text so far."""
    gamma: Annotated[int, Meta(ge=1, le=63)] = 4
    """Draft tokens per step; without meaning for plain."""
    scores: bool = True
    """Report log-probabilities. Off, nothing is computed beside what `generate()` does."""
    compiled: bool = False
    """Compile the one-token step, over a static cache; for plain only."""


def open_engine(options: Mapping[str, str], setup: EngineSetup) -> TransformersEngine:
    """Load the pair and open the engine.

    Raises:
        SettingsError: an option is unknown or out of range, two do not go together, or there is
            no draft to assist.
        PairError: the pair cannot be loaded.
    """
    return TransformersEngine(decode_options("transformers", options, TransformersOptions), setup)


class TransformersEngine:
    """`generate()` under the engine protocol."""

    def __init__(self, options: TransformersOptions, setup: EngineSetup) -> None:
        """Load the models and put them under generation settings of our own."""
        if options.compiled and options.mode != "plain":
            raise SettingsError(
                f"transformers: compiled=true does not go with mode={options.mode}: generate() "
                f"compiles plain decoding only; leave one of the two out"
            )
        self.options, self.setup = options, setup
        self.device = choose_device(setup)
        configure_arithmetic(setup)
        self.pair = load_setup(setup)
        self.detokenise = detokeniser(self.pair.tokenizer)
        self.target: Any = shell(self.pair.target)
        self.draft = self.assistant(self.pair) if options.mode == "assisted" else None
        self.cache: Any = static_cache(self.target, setup.context) if options.compiled else None
        self.method: dict[str, Any] = {}
        """Settings of `generate()` that say how it decodes."""
        if options.mode == "lookup":
            self.method = {"prompt_lookup_num_tokens": options.gamma}
        elif options.compiled:
            self.method = compiling(self.device)

    @property
    def capabilities(self) -> Capabilities:
        """What this engine is."""
        options: dict[str, str] = {"mode": self.options.mode}
        if self.options.mode != "plain":
            options["gamma"] = str(self.options.gamma)
        if not self.options.scores:
            options["scores"] = "false"
        if self.options.compiled:
            options["compiled"] = "true"
        return Capabilities(
            engine=str(EngineSpec(name="transformers", options=options)),
            device=device_name(self.device),
            dtype=self.setup.dtype,
            threads=torch.get_num_threads(),
            num_speculative_tokens=0 if self.options.mode == "plain" else self.options.gamma,
            rule="rejection",
            reports_steps=True,
            reports_scores=self.options.scores,
            versions={"torch": str(torch.__version__), "transformers": transformers.__version__},
            notes=(
                *self.pair.warnings,
                "generate() looks for stop strings after each block: what an accepted block "
                "holds beyond one is cut off by the adapter",
            ),
        )

    def generate(self, requests: Sequence[Request]) -> Iterator[Generation]:
        """Decode requests one after the other."""
        for request in requests:
            self.check(request)
        for request in requests:
            yield self.answer(request)

    def close(self) -> None:
        """Let go of the models."""
        del self.target, self.draft, self.cache

    def check(self, request: Request) -> None:
        """Refuse what cannot be served as asked.

        Raises:
            EngineError: naming the request and what is out of range.
        """
        problem = misfit(request, vocab=self.pair.vocab_size, context=self.setup.context)
        if problem:
            raise EngineError(f"transformers: cannot serve {request.key}: {problem}")

    def answer(self, request: Request) -> Generation:
        """Decode one request.

        Raises:
            EngineError: `generate()` broke; names the request.
        """
        started = time.perf_counter()
        window = Window(keep_rows=self.options.scores)
        recorder = StepRecorder(window)
        try:
            sequence = self.run(request, window=window, recorder=recorder)
        except (ValueError, RuntimeError, IndexError, TypeError) as error:
            what = (str(error).strip() or repr(error)).splitlines()[0]
            raise EngineError(f"transformers: generate() broke on {request.key}: {what}") from error
        token_ids = tuple(sequence[len(request.prompt_ids) :])
        completed = stop_completed_at(self.detokenise, token_ids, request.stop)
        length = len(token_ids) if completed is None else completed + 1
        return Generation(
            key=request.key,
            token_ids=token_ids[:length],
            finish_reason=self.finish_reason(request, token_ids[:length], completed=completed),
            prompt_tokens=len(request.prompt_ids),
            steps=cut_steps(recorder.steps, length=length),
            scores=tuple(recorder.scores[:length]) if self.options.scores else None,
            total_seconds=time.perf_counter() - started,
        )

    @torch.inference_mode()
    def run(self, request: Request, *, window: Window, recorder: StepRecorder) -> list[int]:
        """Call `generate()`; the whole sequence, prompt included."""
        stop_ids = (*self.eos_ids(request), *request.stop_token_ids)
        prompt = torch.tensor([request.prompt_ids], device=self.device)
        cuda = [self.device] if self.device.type == "cuda" else []
        if self.cache is not None:
            self.cache.reset()
        with quiet(), torch.random.fork_rng(devices=cuda):
            torch.manual_seed(request.stream_seed)
            output: Any = self.target.generate(
                prompt,
                attention_mask=torch.ones_like(prompt),
                generation_config=generation_config(request, stop_ids=stop_ids, method=self.method),
                logits_processor=processors(request, stop_ids=stop_ids, last=window),
                stopping_criteria=stopping(request, self.detokenise),
                streamer=recorder,
                assistant_model=self.draft,
                past_key_values=self.cache,
            )
        sequence: list[int] = output[0].tolist()
        return sequence

    def assistant(self, pair: LoadedPair) -> PreTrainedModel:
        """The pair's draft, set to draft `gamma` tokens whatever happens.

        Raises:
            SettingsError: the pair has no draft model.
        """
        if pair.draft is None:
            raise SettingsError(
                f"transformers: mode=assisted, but pair {self.setup.pair!r} has no draft model; "
                f"name one as TARGET+DRAFT, or use mode=lookup"
            )
        return shell(
            pair.draft,
            num_assistant_tokens=self.options.gamma,
            num_assistant_tokens_schedule="constant",
            assistant_confidence_threshold=0.0,
        )

    def eos_ids(self, request: Request) -> tuple[int, ...]:
        """The end-of-text ids that count for a request."""
        return () if request.ignore_eos else self.pair.eos_token_ids

    def finish_reason(
        self, request: Request, token_ids: Sequence[int], *, completed: int | None
    ) -> FinishReason:
        """Why the last token ended the request; a stop goes before a length limit."""
        if token_ids and token_ids[-1] in self.eos_ids(request):
            return "eos"
        if completed is not None or (token_ids and token_ids[-1] in request.stop_token_ids):
            return "stop"
        return "length"
