"""Engine `transformers`: the library's own `generate()`, plain or with any of its ways to draft.

One request at a time, as assisted generation has it. The library decodes; this file only says the
request in its words and reads its answer. Schedule and confidence of the draft are held constant,
so that nothing adapts from one request to the next. Compiled, all requests share one static cache,
so that captured graphs find their buffers where they were.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import torch
import transformers
from msgspec import Meta, Struct

from equivcheck.core.detokenise import detokeniser, stop_completed_at
from equivcheck.core.engine import Capabilities
from equivcheck.core.errors import EngineError, SettingsError
from equivcheck.core.generation import DraftCounts, FinishReason, Generation, Request, Step
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
from equivcheck.engines.transformers_modes import (
    METHODS,
    Mode,
    PreparedMode,
    by_assistant,
    by_dflash,
    by_early_exit,
    by_lookup,
    by_mtp,
    by_universal,
)
from equivcheck.engines.transformers_steps import StepRecorder, VerifyWindow, cut_steps

DRAFTED_BY_NUMBER = ("assisted", "lookup", "early-exit", "universal")
"""Modes that draft `gamma` tokens; the others as many as their layers or blocks give."""
BY_ASSISTANT = ("universal", "dflash")
WITH_DRAFT_LOGITS = ("assisted", "early-exit", "universal", "mtp", "dflash")


class TransformersOptions(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What can follow ``transformers:``."""

    mode: Mode = "plain"
    """assisted: with the pair's draft model; lookup: drafts copied from the text so far;
    early-exit: by the target's first layers; universal: by a model with another tokenizer; mtp: by
    layers of the target's checkpoint that predict ahead; dflash: by a block drafter."""
    gamma: Annotated[int, Meta(ge=1, le=63)] | None = None
    """Draft tokens per step: 4. Without meaning for plain; mtp and dflash have their own number."""
    assistant: str | None = None
    """Folder of the drafting model, for universal and dflash."""
    exit_layer: Annotated[int, Meta(ge=1)] | None = None
    """Layers that draft, for early-exit; none: half of them."""
    assistant_ensemble_weight: Annotated[float, Meta(gt=0, lt=1)] | None = None
    """Lossy: verify by this share of the target's distribution and the rest of the draft's."""
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
        refuse_unfit(options)
        self.options, self.setup = options, setup
        self.device = choose_device(setup)
        configure_arithmetic(setup)
        self.pair = load_setup(setup)
        self.detokenise = detokeniser(self.pair.tokenizer)
        self.drafting = self.made_ready()
        self.target: Any = self.drafting.target
        self.cache: Any = static_cache(self.target, setup.context) if options.compiled else None

    def made_ready(self) -> PreparedMode:
        """What the mode needs of `generate()`.

        Raises:
            SettingsError: the pair or the options lack something that the mode needs.
            PairError: a drafting model cannot be loaded.
        """
        pair, options = self.pair, self.options
        gamma, assistant = options.gamma or 4, options.assistant
        match options.mode:
            case "assisted":
                return by_assistant(pair, gamma=gamma, spec=self.setup.pair)
            case "lookup":
                return by_lookup(pair, gamma=gamma)
            case "early-exit":
                return by_early_exit(pair, gamma=gamma, layers=options.exit_layer)
            case "universal":
                return by_universal(pair, gamma=gamma, assistant=assistant)
            case "mtp":
                return by_mtp(pair)
            case "dflash":
                return by_dflash(pair, assistant=assistant)
            case "plain":
                settings = compiling(self.device) if options.compiled else {}
                return PreparedMode(target=shell(pair.target), settings=settings)

    @property
    def capabilities(self) -> Capabilities:
        options, drafting = self.options, self.drafting
        told: dict[str, str] = {"mode": options.mode}
        if options.mode in DRAFTED_BY_NUMBER:
            told["gamma"] = str(options.gamma or 4)
        if options.assistant is not None:
            told["assistant"] = options.assistant
        if options.exit_layer is not None:
            told["exit_layer"] = str(options.exit_layer)
        if options.assistant_ensemble_weight is not None:
            told["assistant_ensemble_weight"] = str(options.assistant_ensemble_weight)
        if not options.scores:
            told["scores"] = "false"
        if options.compiled:
            told["compiled"] = "true"
        return Capabilities(
            engine=str(EngineSpec(name="transformers", options=told)),
            device=device_name(self.device),
            dtype=self.setup.dtype,
            threads=torch.get_num_threads(),
            num_speculative_tokens=drafting.most,
            rule="rejection",
            reports_steps=drafting.steady,
            reports_counts=not drafting.steady,
            reports_scores=options.scores,
            method=METHODS.get(options.mode),
            refuses=drafting.refuses,
            versions={"torch": str(torch.__version__), "transformers": transformers.__version__},
            notes=(
                *self.pair.warnings,
                *drafting.notes,
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
        del self.target, self.drafting, self.cache

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
        window = VerifyWindow(keep_rows=self.options.scores)
        recorder = StepRecorder(window)
        try:
            sequence = self.run(request, window=window, recorder=recorder)
        except (ValueError, RuntimeError, IndexError, TypeError, AttributeError) as error:
            what = (str(error).strip() or repr(error)).splitlines()[0]
            raise EngineError(f"transformers: generate() broke on {request.key}: {what}") from error
        token_ids = tuple(sequence[len(request.prompt_ids) :])
        completed = stop_completed_at(self.detokenise, token_ids, request.stop)
        length = len(token_ids) if completed is None else completed + 1
        steps = cut_steps(recorder.steps, length=length)
        return Generation(
            key=request.key,
            token_ids=token_ids[:length],
            finish_reason=self.finish_reason(request, token_ids[:length], completed=completed),
            prompt_tokens=len(request.prompt_ids),
            steps=steps if self.drafting.steady else (),
            counts=None if self.drafting.steady else counted(steps),
            scores=tuple(recorder.scores[:length]) if self.options.scores else None,
            total_seconds=time.perf_counter() - started,
        )

    @torch.inference_mode()
    def run(self, request: Request, *, window: VerifyWindow, recorder: StepRecorder) -> list[int]:
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
                generation_config=generation_config(
                    request,
                    stop_ids=stop_ids,
                    method={
                        **self.drafting.settings,
                        "assistant_ensemble_weight": self.options.assistant_ensemble_weight,
                    },
                ),
                logits_processor=processors(request, stop_ids=stop_ids, last=window),
                stopping_criteria=stopping(request, self.detokenise),
                streamer=recorder,
                past_key_values=self.cache,
                **self.drafting.arguments(request.sampling.greedy),
            )
        sequence: list[int] = output[0].tolist()
        return sequence

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


def refuse_unfit(options: TransformersOptions) -> None:
    """Refuse options that mean nothing in a mode.

    Raises:
        SettingsError: naming the option.
    """
    mode = options.mode
    if options.compiled and mode != "plain":
        raise SettingsError(
            f"transformers: compiled=true does not go with mode={mode}: generate() "
            f"compiles plain decoding only; leave one of the two out"
        )
    given = {
        "gamma": (options.gamma, ("plain", *DRAFTED_BY_NUMBER)),
        "assistant": (options.assistant, BY_ASSISTANT),
        "exit_layer": (options.exit_layer, ("early-exit",)),
        "assistant_ensemble_weight": (options.assistant_ensemble_weight, WITH_DRAFT_LOGITS),
    }
    for name, (value, modes) in given.items():
        if value is not None and mode not in modes:
            raise SettingsError(
                f"transformers: {name}={value} has no meaning in mode={mode}; leave it out"
            )


def counted(steps: Sequence[Step]) -> DraftCounts:
    """Totals of steps."""
    return DraftCounts(
        drafted=sum(step.drafted for step in steps),
        accepted=sum(step.accepted for step in steps),
        steps=len(steps),
    )
