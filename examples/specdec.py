"""specdec 0.2.0: `SpecDecoder.spec_gen`, on the pair's modules, with ids in the place of text.

It samples at temperature 1 and knows no other; nothing ends an output but its limit.
"""

from collections.abc import Mapping
from typing import Any

import torch

from equivcheck import EngineSetup, Request, decode_options
from equivcheck_examples.one_at_a_time import OneAtATime, Options, Round
from equivcheck_examples.sound import step


def open_engine(options: Mapping[str, str], setup: EngineSetup) -> "Specdec":
    return Specdec(decode_options("specdec", options, Options), setup)


class Ids:
    """Where the package asks a tokenizer, ids pass as they are."""

    def encode(self, prompt: Any, **_: Any) -> Any:
        return torch.tensor([prompt])

    def decode(self, ids: Any, **_: Any) -> Any:
        return ids.tolist()


class Specdec(OneAtATime):
    NAME = "specdec"

    def __init__(self, options: Options, setup: EngineSetup) -> None:
        from specdec import SpecDecoder

        super().__init__(options, setup)
        # Its constructor loads hub ids in the dtype they were saved in.
        self.decoder = SpecDecoder.__new__(SpecDecoder)
        self.decoder.small_model, self.decoder.big_model = self.draft, self.target
        self.decoder.tokenizer, self.decoder.device = Ids(), "cpu"
        self.verify, self.decoder.verify = self.decoder.verify, self.watched
        self.SAYS = {**self.SAYS, "ranges": {"temperature": (1.0, 1.0)}}

    def watched(self, ids: Any, drafts: list[int], distributions: list[Any]) -> list[int]:
        drafted = len(drafts)
        if self.options.sound:
            models = self.target, self.draft
            tokens, _ = step(*models, ids, gamma=drafted, temperature=1.0)
        else:
            tokens = self.verify(ids, drafts, distributions)
        self.rounds.append(Round(drafted, len(tokens) - 1, len(tokens)))
        return tokens

    def decode(self, request: Request, stops: list[int]) -> tuple[list[int], list[Round]]:
        self.rounds: list[Round] = []
        ids = self.decoder.spec_gen(request.prompt_ids, request.max_new_tokens, self.options.gamma)
        return ids[len(request.prompt_ids) :], self.rounds
