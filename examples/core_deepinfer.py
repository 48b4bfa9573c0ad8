"""core-deepinfer 0.1.0: `generate_speculative`, greedy, over the pair's models.

`gamma=0` is its plain decoding.
"""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import torch

from equivcheck import DraftCounts, EngineSetup, Request, decode_options
from equivcheck_examples.one_at_a_time import OneAtATime, Options


def open_engine(options: Mapping[str, str], setup: EngineSetup) -> "CoreDeepinfer":
    return CoreDeepinfer(decode_options("core_deepinfer", options, Options), setup)


class Model:
    """A model under the package's interface; its state is the text so far."""

    def __init__(self, model: Any, vocab_size: int) -> None:
        self.model, self.vocab_size = model, vocab_size

    def tokens(self, prompt: Any) -> Any:
        return tuple(prompt)

    def prefill(self, tokens: Any) -> Any:
        logits = self.model(torch.tensor([tokens])).logits[0]
        return SimpleNamespace(logits=logits.numpy(), state=SimpleNamespace(tokens=tuple(tokens)))

    def step(self, state: Any, token: int) -> Any:
        return self.prefill((*state.tokens, token))


class CoreDeepinfer(OneAtATime):
    NAME = "core_deepinfer"
    SERVES = ()
    LACKS = ("stop", "stop_token_ids")
    SAYS = {"sampled": False, "reports_counts": True}

    def __init__(self, options: Options, setup: EngineSetup) -> None:
        from core_deepinfer.speculative import generate, generate_speculative

        super().__init__(options, setup)
        self.plain, self.speculative = generate, generate_speculative
        vocab = self.pair.vocab_size
        self.target, self.draft = Model(self.target, vocab), Model(self.draft, vocab)

    def decode(self, request: Request, stops: list[int]) -> tuple[list[int], Any]:
        ends = {"max_tokens": request.max_new_tokens, "eos_id": stops[0] if stops else None}
        if not self.most or self.options.sound:
            told = self.plain(self.target, request.prompt_ids, **ends)
        else:
            told = self.speculative(
                self.target, self.draft, request.prompt_ids, draft_width=self.most, **ends
            )
        counts = DraftCounts(drafted=told.draft_tokens, accepted=told.accepted_drafts)
        return list(told.tokens), counts
