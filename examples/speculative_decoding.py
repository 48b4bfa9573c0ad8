"""speculative-decoding 0.2.0: `speculative_decoding`, with the pair's models as its networks.

The networks keep no cache that it sees: what is tried is its rule, not its `Decoder`. Nothing ends
an output but its limit.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch

from equivcheck import EngineSetup, Request, decode_options
from equivcheck_examples.one_at_a_time import OneAtATime, Options, Round
from equivcheck_examples.sound import step


def open_engine(options: Mapping[str, str], setup: EngineSetup) -> "SpeculativeDecoding":
    return SpeculativeDecoding(decode_options("speculative_decoding", options, Options), setup)


class Network:
    """A model under the package's interface; `lengths` of what it was asked."""

    def __init__(self, model: Any) -> None:
        self.model, self.lengths = model, []

    def __call__(self, ids: Any, **_: Any) -> Any:
        self.lengths.append(ids.shape[1])
        return self.model(ids).logits, (torch.zeros(1, ids.shape[1], 1), None)


class SpeculativeDecoding(OneAtATime):
    NAME = "speculative_decoding"
    SERVES = ("temperature", "top_k")

    def __init__(self, options: Options, setup: EngineSetup) -> None:
        from speculative_decoding import speculative_decoding

        super().__init__(options, setup)
        self.package = speculative_decoding

    def decode(self, request: Request, stops: list[int]) -> tuple[list[int], list[Round]]:
        gamma, heat = self.options.gamma, request.sampling.temperature
        length = len(request.prompt_ids) + request.max_new_tokens
        ids = torch.tensor([request.prompt_ids])
        if self.options.sound:
            rounds: list[Round] = []
            while ids.shape[1] < length:
                tokens, accepted = step(self.target, self.draft, ids, gamma=gamma, temperature=heat)
                rounds.append(Round(gamma, accepted, len(tokens)))
                ids = torch.cat([ids, torch.tensor([tokens])], 1)
            return ids[0, len(request.prompt_ids) : length].tolist(), rounds
        target, top_k = Network(self.target), request.sampling.top_k
        output, rate = self.package(
            target,
            Network(self.draft),
            ids,
            length,
            gamma=gamma,
            temperature=heat,
            # It keeps the best ceil((1 - filter_thres) * vocabulary).
            filter_thres=1 - (top_k - 0.5) / self.pair.vocab_size if top_k else 0.0,
        )
        ends = target.lengths
        accepted = [after - before - 1 for before, after in pairwise(ends)]
        accepted.append(round(float(rate) * len(ends)) - sum(accepted))
        return output[0].tolist(), [Round(gamma, each, each + 1) for each in accepted]
