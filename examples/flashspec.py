"""flashspec 0.3.1: its verifier and drafters on the pair's modules.

Its bandit has one arm, so that nothing is chosen anew from one request to the next.
"""

from collections.abc import Mapping
from typing import Any, Literal

import torch

from equivcheck import EngineSetup, Request, decode_options
from equivcheck_examples.one_at_a_time import OneAtATime, Options, Round


class Modes(Options, frozen=True, forbid_unknown_fields=True, kw_only=True):
    mode: Literal["speculative", "plain", "ngram", "composite"] = "speculative"
    """ngram: the package's own prompt lookup; composite: lookup of 6 where it has a match, else the
    model for 2, as the package drafts by default."""


def open_engine(options: Mapping[str, str], setup: EngineSetup) -> "Flashspec":
    return Flashspec(decode_options("flashspec", options, Modes), setup)


class NothingDrafter:
    """The package has no plain decoding: this is its step with one draft slot that stays empty."""

    model_name = "nothing"

    def propose(self, tokens: Any, length: Any, gamma: int) -> tuple[Any, Any]:
        return tokens[:, :gamma], torch.zeros(1, dtype=torch.int64, device=tokens.device)


class Flashspec(OneAtATime):
    NAME = "flashspec"

    def __init__(self, options: Modes, setup: EngineSetup) -> None:
        import flashspec
        from flashspec import engine

        super().__init__(options, setup)
        self.package, self.engine, self.mode = flashspec, engine, options.mode
        place = (setup.pair, self.pair.target.device, getattr(torch, setup.dtype))
        self.verifier = engine.TargetModel(*place, model=self.pair.target)
        self.drafter: Any = {"plain": NothingDrafter, "ngram": engine.NgramDrafter}.get(
            options.mode, lambda: engine.HuggingFaceDrafter(*place, 0.0, model=self.pair.draft)
        )()
        self.drafts = options.mode in ("speculative", "composite")
        self.SAYS = {
            **self.SAYS,
            "drafter": "model" if options.mode == "speculative" else None,
            "versions": {"flashspec": flashspec.__version__},
        }
        self.most = {"plain": 0, "composite": 6}.get(options.mode, options.gamma)

    def decode(self, request: Request, stops: list[int]) -> tuple[list[int], list[Round]]:
        heat, default = request.sampling.temperature, self.mode == "composite"
        gamma = 1 if self.mode == "plain" else self.options.gamma
        if self.drafts:
            # Drafts are drawn at the target's temperature, as the package's manual has it.
            self.drafter.set_temperature(heat)
        result = self.package.SpeculativeEngine(
            self.package.FlashSpecConfig(
                device=str(self.pair.target.device),
                dtype=self.setup.dtype,
                drafter_strategy="composite-g6-f2" if default else "auto",
                sampling=self.package.SamplingConfig(temperature=heat, seed=request.stream_seed),
            ),
            [self.drafter],
            self.verifier,
            arms=None if default else [self.engine.ArmSpec(drafter=0, gamma=gamma)],
        ).generate(
            torch.tensor([request.prompt_ids]),
            max_new_tokens=request.max_new_tokens,
            eos_token_ids=tuple(stops),
        )
        rounds = [Round(each.proposed, each.accepted, each.emitted) for each in result.arm_steps]
        return result.output_ids[0, : result.n_tokens_generated].tolist(), rounds
