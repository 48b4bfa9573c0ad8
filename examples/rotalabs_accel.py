"""rotalabs-accel 1.1.1: `rejection_sample`, in a loop, with the pair's models.

Its `speculative_decode` raises before it draws a token, so that its rule alone can be tried: stops,
limits, drafts and the token behind an accepted block are this file's.
"""

from collections.abc import Mapping
from typing import Any

import torch

from equivcheck import EngineSetup, Request, decode_options
from equivcheck_examples.one_at_a_time import OneAtATime, Options, Round, cut, last
from equivcheck_examples.sound import distribution, step


def open_engine(options: Mapping[str, str], setup: EngineSetup) -> "RotalabsAccel":
    return RotalabsAccel(decode_options("rotalabs_accel", options, Options), setup)


class RotalabsAccel(OneAtATime):
    NAME = "rotalabs_accel"

    def __init__(self, options: Options, setup: EngineSetup) -> None:
        from rotalabs_accel.speculative.sampling import rejection_sample

        super().__init__(options, setup)
        self.package = rejection_sample

    def verify(self, ids: Any, *, gamma: int, heat: float) -> tuple[list[int], int]:
        start, drafted, distributions = ids.shape[1], ids, []
        for _ in range(gamma):
            distributions.append(distribution(self.draft(drafted).logits[0, -1:], heat)[0])
            drafted = torch.cat([drafted, torch.multinomial(distributions[-1], 1)[None]], 1)
        logits = self.target(drafted).logits[0, start - 1 :]
        p, tokens = distribution(logits, heat), []
        for place, (token, q) in enumerate(zip(drafted[0, start:], distributions, strict=True)):
            taken, found = self.package(
                p[place, token], q[token], token, logits[place] / (heat or 1), heat > 0
            )
            tokens.append(int(found))
            if not taken:
                return tokens, place
        return [*tokens, int(torch.multinomial(p[gamma], 1))], gamma

    def decode(self, request: Request, stops: list[int]) -> tuple[list[int], list[Round]]:
        gamma, heat = self.options.gamma, request.sampling.temperature
        ids, tokens, rounds = torch.tensor([request.prompt_ids]), [], []
        while len(tokens) < request.max_new_tokens and not set(tokens) & set(stops):
            if self.options.sound:
                block, accepted = step(self.target, self.draft, ids, gamma=gamma, temperature=heat)
            else:
                block, accepted = self.verify(ids, gamma=gamma, heat=heat)
            tokens += block
            rounds.append(Round(gamma, accepted, len(block)))
            ids = torch.cat([ids, torch.tensor([block])], 1)
        return cut(tokens, rounds, length=last(tokens, request, stops))
