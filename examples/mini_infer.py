"""mini-infer 0.2.5: `speculative_step`, in a loop; with `own=true` over its own Qwen2 with the
pair's weights.

The package has no loop around its step: stops and limits are this file's.
"""

from collections.abc import Mapping
from typing import Any

import torch

from equivcheck import EngineSetup, Request, decode_options
from equivcheck_examples.one_at_a_time import OneAtATime, Options, Round, cut, last
from equivcheck_examples.sound import step


class Networks(Options, frozen=True, forbid_unknown_fields=True, kw_only=True):
    own: bool = False


def open_engine(options: Mapping[str, str], setup: EngineSetup) -> "MiniInfer":
    return MiniInfer(decode_options("mini_infer", options, Networks), setup)


class MiniInfer(OneAtATime):
    NAME = "mini_infer"

    def __init__(self, options: Networks, setup: EngineSetup) -> None:
        from mini_infer.models.config import Qwen2Config
        from mini_infer.models.qwen2 import Qwen2ForCausalLM
        from mini_infer.speculative.verifier import speculative_step

        super().__init__(options, setup)
        self.step = speculative_step
        self.models: list[Any] = [
            lambda ids: (self.target(ids).logits, None),
            lambda ids: (self.draft(ids).logits, None),
        ]
        if options.own:
            pair = self.pair.target, self.pair.draft
            self.models = [its_own(model, Qwen2Config, Qwen2ForCausalLM) for model in pair]

    def decode(self, request: Request, stops: list[int]) -> tuple[list[int], list[Round]]:
        gamma, heat = self.options.gamma, request.sampling.temperature
        ids, tokens, rounds = torch.tensor([request.prompt_ids]), [], []
        while last(tokens, request, stops) == len(tokens) < request.max_new_tokens:
            if tokens and tokens[-1] in stops:
                break
            if self.options.sound:
                models = self.target, self.draft
                block, accepted = step(*models, ids, gamma=gamma, temperature=heat)
            else:
                block, accepted = self.step(*self.models, ids, k_draft=gamma, temperature=heat)
            tokens += block
            rounds.append(Round(gamma, accepted, len(block)))
            ids = torch.cat([ids, torch.tensor([block])], 1)
        return cut(tokens, rounds, length=last(tokens, request, stops))


def its_own(model: Any, config: Any, network: Any) -> Any:
    """The package's Qwen2 with a Llama's weights: the biases that a Llama lacks are 0."""
    told = model.config
    names = config.__dataclass_fields__.keys() - {"rope_theta"}
    built = network(
        config(
            rope_theta=told.rope_parameters["rope_theta"],
            **{name: getattr(told, name) for name in names},
        )
    )
    zeros = {name: torch.zeros_like(value) for name, value in built.state_dict().items()}
    built.load_state_dict(zeros | model.state_dict())
    return built.to(model.dtype).eval()
