"""flashmap 0.1.0: `spec_generate`, greedy and sampled.

Its trained drafters are for models of billions of weights. Here the pair's draft model is in the
drafter's place, slot by slot along its own best path, or, with `drafts=new`, an untrained drafter.
"""

import copy
from collections.abc import Mapping
from typing import Any, Literal

import torch

from equivcheck import EngineSetup, Request, decode_options
from equivcheck_examples.one_at_a_time import OneAtATime, Options, Round


class Drafts(Options, frozen=True, forbid_unknown_fields=True, kw_only=True):
    drafts: Literal["new", "pair"] = "pair"


def open_engine(options: Mapping[str, str], setup: EngineSetup) -> "Flashmap":
    return Flashmap(decode_options("flashmap", options, Drafts), setup)


class Flashmap(OneAtATime):
    NAME = "flashmap"
    LACKS = ("stop",)
    SAYS = {"rule": "rejection", "reports_steps": True}

    def __init__(self, options: Drafts, setup: EngineSetup) -> None:
        from flashmap.configuration_flashmap import FlashMapConfig
        from flashmap.modeling_flashmap import FlashMapDraftModel

        super().__init__(options, setup)
        self.verifier = copy.deepcopy(self.pair.target)
        config = self.verifier.config
        torch.manual_seed(0)
        self.drafter = FlashMapDraftModel(
            FlashMapConfig(
                target_model=config._name_or_path,
                target_hidden_size=config.hidden_size,
                vocab_size=config.vocab_size,
                target_layer_ids=(0, config.num_hidden_layers - 2),
                block_size=options.gamma,
                hidden_size=64,
                num_hidden_layers=1,
                num_attention_heads=2,
                intermediate_size=128,
            )
        ).eval()
        self.package = self.drafter.spec_generate
        if options.drafts == "pair":
            self.drafter.draft = self.of_pair
            self.verifier.register_forward_pre_hook(self.reads, with_kwargs=True)

    def reads(self, _: Any, given: Any, named: Any) -> None:
        """Keep the text that the target was shown: what a later block repeats was not accepted."""
        places = named.get("position_ids")
        start = 0 if places is None else int(places[0, 0])
        self.text = torch.cat([self.text[:, :start], given[0]], 1) if start else given[0]

    def of_pair(self, anchor: Any, cache: Any, *_: Any, **__: Any) -> Any:
        ids, rows = torch.cat([self.text[:, : cache.length], anchor[None]], 1), []
        for _ in range(self.options.gamma):
            rows.append(self.draft(ids).logits[0, -1])
            ids = torch.cat([ids, rows[-1].argmax().view(1, 1)], 1)
        return torch.stack(rows)[None]

    def decode(self, request: Request, stops: list[int]) -> tuple[list[int], list[Round]]:
        told = self.package(
            self.verifier,
            torch.tensor([request.prompt_ids]),
            request.max_new_tokens,
            request.sampling.temperature,
            stop_token_ids=stops,
        )
        rounds = [Round(self.options.gamma, n - 1, n) for n in told.acceptance_lengths]
        return told.sequences[0, len(request.prompt_ids) :].tolist(), [Round(0, 0, 1), *rounds]
