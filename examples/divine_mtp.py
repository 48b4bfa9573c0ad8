"""divine-mtp 0.1.0: `DivineMtpInferenceEngine.generate`, greedy, with random heads.

Nothing ends an output but its limit.
"""

import builtins
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import torch

from equivcheck import DraftCounts, EngineSetup, Request, decode_options
from equivcheck_examples.one_at_a_time import OneAtATime, Options
from equivcheck_examples.sound import step


def open_engine(options: Mapping[str, str], setup: EngineSetup) -> "DivineMtp":
    return DivineMtp(decode_options("divine_mtp", options, Options), setup)


class DivineMtp(OneAtATime):
    NAME = "divine_mtp"
    SERVES = ()
    LACKS = ("stop",)
    SAYS = {"sampled": False, "reports_counts": True}

    def __init__(self, options: Options, setup: EngineSetup) -> None:
        # Its trainer names it without importing it, so that before Python 3.14 nothing is imported.
        vars(builtins).setdefault("Tuple", tuple)
        from divine_mtp.inference import DivineMtpInferenceEngine
        from divine_mtp.model import attach_divine_mtp

        super().__init__(options, setup)
        torch.manual_seed(0)
        wrapped = attach_divine_mtp(self.pair.target, num_heads=options.gamma, rank=16)
        for head in wrapped.mtp.heads:
            # As they are made they repeat the last token; once trained they do not.
            torch.nn.init.normal_(head.proj_up.weight, std=1.0)
        self.package = DivineMtpInferenceEngine(wrapped.eval()).generate
        if options.sound:
            self.package = self.control

    def control(self, ids: Any, limit: int) -> Any:
        rounds, start = [], ids.shape[1]
        while ids.shape[1] < start + limit:
            models, gamma = (self.target, self.draft), self.options.gamma
            tokens, accepted = step(*models, ids, gamma=gamma, temperature=0.0)
            rounds.append((gamma, accepted))
            ids = torch.cat([ids, torch.tensor([tokens])], 1)
        drafted, accepted = (sum(each) for each in zip(*rounds, strict=True))
        tokens = ids[0, : start + limit].tolist()
        return SimpleNamespace(token_ids=tokens, total_proposed=drafted, total_accepted=accepted)

    def decode(self, request: Request, stops: list[int]) -> tuple[list[int], Any]:
        told = self.package(torch.tensor([request.prompt_ids]), request.max_new_tokens)
        counts = DraftCounts(drafted=told.total_proposed, accepted=told.total_accepted)
        return told.token_ids[len(request.prompt_ids) :], counts
