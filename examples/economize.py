"""economize 0.3.2: `model.decode` of a model with one of its drafters: the pair's draft model,
prompt lookup, or the target itself with layers left out (`drafter=layer_skip`).
"""

from collections.abc import Mapping
from typing import Any, Literal

import torch

from equivcheck import DraftCounts, EngineSetup, Request, decode_options, locate_pair
from equivcheck_examples.one_at_a_time import OneAtATime, Options


class Drafters(Options, frozen=True, forbid_unknown_fields=True, kw_only=True):
    drafter: Literal["draft_model", "lookup", "layer_skip"] = "draft_model"


def open_engine(options: Mapping[str, str], setup: EngineSetup) -> "Economize":
    return Economize(decode_options("economize", options, Drafters), setup)


class Economize(OneAtATime):
    NAME = "economize"
    SERVES = ("temperature", "top_p")
    SAYS = {"rule": "rejection", "reports_counts": True}

    def __init__(self, options: Drafters, setup: EngineSetup) -> None:
        import economize
        from economize.techniques.draft_model import DraftModelConfig
        from economize.techniques.layer_skip import LayerSkipConfig
        from economize.techniques.lookup import LookupConfig

        super().__init__(options, setup)
        self.package = economize
        config: Any = {
            "draft_model": lambda: DraftModelConfig(str(locate_pair(setup.pair).draft)),
            "lookup": LookupConfig,
            "layer_skip": lambda: LayerSkipConfig(skip_layers=(2, 4)),
        }[options.drafter]()
        self.model = economize.apply(self.pair.target, config)

    def decode(self, request: Request, stops: list[int]) -> tuple[list[int], Any]:
        distribution, gamma = request.sampling, self.options.gamma
        told = self.model.decode(
            torch.tensor(request.prompt_ids),
            request.max_new_tokens,
            decoding=self.package.DecodeConfig(
                cycle_length=1 if self.options.sound else gamma + 1,
                verifier=None if distribution.greedy else "rejection",
            ),
            selector=None
            if distribution.greedy
            else self.package.TopPSampler(
                distribution.temperature, distribution.top_p, request.stream_seed
            ),
            stop=stops,
        )
        drafted, accepted = (sum(each) for each in zip((0, 0), *told.acceptance, strict=True))
        return told.tokens.tolist(), DraftCounts(drafted=drafted, accepted=accepted)
