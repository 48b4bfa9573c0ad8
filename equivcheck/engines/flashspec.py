"""Engine `flashspec`: the decoder of the PyPI package of that name, on the pair's own models.

One request at a time. The library's verifier and drafters are given the modules that are loaded
already; its bandit has one arm, so that nothing is chosen anew from one request to the next.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

import flashspec
import torch
import transformers
from flashspec.engine import ArmSpec, HuggingFaceDrafter, NgramDrafter, TargetModel
from msgspec import Meta, Struct
from torch import Tensor

from equivcheck.core.engine import Capabilities
from equivcheck.core.errors import EngineError, SettingsError
from equivcheck.core.generation import Generation, Request
from equivcheck.core.settings import EngineSetup
from equivcheck.decoding.contract import device_name
from equivcheck.engines.device import choose_device, configure_arithmetic, load_setup
from equivcheck.engines.flashspec_answer import generation_of, refuse_what_it_lacks
from equivcheck.engines.naming import EngineSpec
from equivcheck.engines.registry import decode_options

GAMMA = 4
COMPOSITE: Literal["composite-g6-f2"] = "composite-g6-f2"
COMPOSITE_GAMMA = 6
PLAIN_NOTE = "the library has no plain decoding: its step is run with a draft slot that stays empty"


class FlashspecOptions(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What can follow ``flashspec:``."""

    mode: Literal["speculative", "plain", "ngram", "composite"] = "speculative"
    """speculative: with the pair's draft model; ngram: the library's own prompt lookup;
    composite: lookup of 6 where it has a match, else the model for 2, the library's default."""
    gamma: Annotated[int, Meta(ge=1, le=63)] | None = None
    """Draft tokens per step of speculative and ngram. None: 4."""


def open_engine(options: Mapping[str, str], setup: EngineSetup) -> FlashspecEngine:
    """Load the pair and open the engine.

    Raises:
        SettingsError: an option is unknown, out of range or without meaning, or no model drafts.
        PairError: the pair cannot be loaded.
    """
    return FlashspecEngine(decode_options("flashspec", options, FlashspecOptions), setup)


class NothingDrafter:
    """A lookup that never finds anything: the library's plain step, two slots wide."""

    model_name = "nothing"

    def propose(self, tokens: Tensor, length: int | Tensor, gamma: int) -> tuple[Tensor, Tensor]:
        """Filler ids [1, gamma] out of tokens [1, capacity], of which 0 are real."""
        return tokens[:, :gamma], torch.zeros(1, dtype=torch.int64, device=tokens.device)


class FlashspecEngine:
    """The library under the engine protocol."""

    def __init__(self, options: FlashspecOptions, setup: EngineSetup) -> None:
        """Load the models and wrap them."""
        if options.gamma is not None and options.mode in ("plain", "composite"):
            raise SettingsError(f"flashspec: gamma is without meaning for mode={options.mode}")
        self.options, self.setup = options, setup
        self.gamma = options.gamma or GAMMA
        self.device = choose_device(setup)
        configure_arithmetic(setup)
        self.pair = load_setup(setup)
        if options.mode in ("speculative", "composite") and self.pair.draft is None:
            raise SettingsError(
                f"flashspec: mode={options.mode}, but pair {setup.pair!r} has no draft model; "
                f"name one as TARGET+DRAFT, or use mode=ngram"
            )
        self.target: Any = self.pair.target
        self.draft = self.pair.draft if options.mode in ("speculative", "composite") else None
        dtype = getattr(torch, setup.dtype)
        self.verifier = TargetModel(setup.pair, self.device, dtype, model=self.target)
        self.drafter: Any = {"plain": NothingDrafter, "ngram": NgramDrafter}.get(
            options.mode,
            lambda: HuggingFaceDrafter(setup.pair, self.device, dtype, 0.0, model=self.draft),
        )()
        self.greedy = self.decoder(temperature=0.0, seed=None)

    @property
    def capabilities(self) -> Capabilities:
        """What this engine is."""
        mode = self.options.mode
        options: dict[str, str] = {"mode": mode}
        if mode in ("speculative", "ngram"):
            options["gamma"] = str(self.gamma)
        drafted = {"plain": 0, "composite": COMPOSITE_GAMMA}.get(mode, self.gamma)
        return Capabilities(
            engine=str(EngineSpec(name="flashspec", options=options)),
            device=device_name(self.device),
            dtype=self.setup.dtype,
            threads=torch.get_num_threads(),
            num_speculative_tokens=drafted,
            rule="rejection",
            reports_steps=True,
            drafter="model" if mode == "speculative" else None,
            versions={
                "torch": str(torch.__version__),
                "transformers": transformers.__version__,
                "flashspec": flashspec.__version__,
            },
            notes=(*self.pair.warnings, *((PLAIN_NOTE,) if mode == "plain" else ())),
        )

    def generate(self, requests: Sequence[Request]) -> Iterator[Generation]:
        """Decode requests one after the other."""
        vocab, context = self.pair.vocab_size, self.setup.context
        for request in requests:
            refuse_what_it_lacks(request, vocab=vocab, context=context)
        for request in requests:
            yield self.answer(request)

    def close(self) -> None:
        """Let go of the models and their caches."""
        del self.greedy, self.verifier, self.drafter, self.target, self.draft

    def answer(self, request: Request) -> Generation:
        """Decode one request.

        Raises:
            EngineError: the library broke, or stopped too early; names the request.
        """
        started = time.perf_counter()
        eos = () if request.ignore_eos else self.pair.eos_token_ids
        law = request.sampling
        decoder = (
            self.greedy
            if law.greedy
            else self.decoder(temperature=law.temperature, seed=request.stream_seed)
        )
        if self.draft is not None:
            # Drafts are drawn at the target's temperature, as the library's manual has it.
            self.drafter.set_temperature(law.temperature)
        try:
            result = decoder.generate(
                torch.tensor([request.prompt_ids], device=self.device),
                max_new_tokens=request.max_new_tokens,
                eos_token_ids=(*eos, *request.stop_token_ids),
            )
        except (ValueError, RuntimeError, IndexError, TypeError) as error:
            what = (str(error).strip() or repr(error)).splitlines()[0]
            raise EngineError(f"flashspec: generate() broke on {request.key}: {what}") from error
        return generation_of(
            request,
            result.output_ids[0, : result.n_tokens_generated].tolist(),
            result.arm_steps,
            eos_ids=eos,
            seconds=time.perf_counter() - started,
        )

    def decoder(self, *, temperature: float, seed: int | None) -> Any:
        """The library's engine over the wrapped models; its settings hold for its whole life."""
        composite = self.options.mode == "composite"
        gamma = 1 if self.options.mode == "plain" else self.gamma
        return flashspec.SpeculativeEngine(
            flashspec.FlashSpecConfig(
                device=str(self.device),
                dtype=self.setup.dtype,
                drafter_strategy=COMPOSITE if composite else "auto",
                sampling=flashspec.SamplingConfig(temperature=temperature, seed=seed),
            ),
            [self.drafter],
            self.verifier,
            arms=None if composite else [ArmSpec(drafter=0, gamma=gamma)],
        )
