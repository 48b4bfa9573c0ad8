"""csaq-quant 0.6.0: `CSAQInferenceEngine.generate` of the pair's target, rounded by it to 8 bits.

`mode=plain` is its plain decoding. Both arms have to be this engine: its weights are its own.
"""

import copy
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, Literal

import torch

from equivcheck import DraftCounts, EngineSetup, Request, decode_options
from equivcheck_examples.one_at_a_time import OneAtATime, Options
from equivcheck_examples.remembering import Remembering
from equivcheck_examples.sound import step


class Modes(Options, frozen=True, forbid_unknown_fields=True, kw_only=True):
    mode: Literal["speculative", "plain"] = "speculative"


def open_engine(options: Mapping[str, str], setup: EngineSetup) -> "Csaq":
    return Csaq(decode_options("csaq", options, Modes), setup)


class Csaq(OneAtATime):
    NAME = "csaq"
    SERVES = ()
    LACKS = ("stop", "stop_token_ids", "ignore_eos")
    SAYS = {"sampled": False, "reports_counts": True}

    def __init__(self, options: Modes, setup: EngineSetup) -> None:
        from csaq import CSAQConfig, CSAQInferenceEngine, quantize

        super().__init__(options, setup)
        torch.manual_seed(0)
        texts = torch.randint(2, self.pair.vocab_size, (4, 64))
        model, info = quantize(
            copy.deepcopy(self.pair.target).requires_grad_(),
            [{"input_ids": text[None]} for text in texts],
            config=CSAQConfig(target_bits=8.0, bit_options=[8], group_size=64),
            verbose=False,
        )
        self.package = CSAQInferenceEngine(model.eval(), info["causal_map"], verbose=False).generate
        self.model = Remembering(model)
        self.most = options.gamma if options.mode == "speculative" else 0

    def control(self, ids: Any, limit: int) -> Any:
        taken, start = 0, ids.shape[1]
        while ids.shape[1] < start + limit and 0 not in ids[0, start:]:
            models = self.model, self.draft
            tokens, accepted = step(*models, ids, gamma=self.most, temperature=0.0)
            ids, taken = torch.cat([ids, torch.tensor([tokens])], 1), taken + accepted
        return ids[:, : start + limit], SimpleNamespace(tokens_accepted=taken, tokens_rejected=0)

    def decode(self, request: Request, stops: list[int]) -> tuple[list[int], Any]:
        ids, limit = torch.tensor([request.prompt_ids]), request.max_new_tokens
        if self.options.sound and self.most:
            told, report = self.control(ids, limit)
        else:
            how = {"speculative": bool(self.most), "lookahead": self.most, "temperature": 0.0}
            told, report = self.package(ids, max_new_tokens=limit, **how)
        taken = report.tokens_accepted if self.most else 0
        counts = DraftCounts(drafted=taken + report.tokens_rejected, accepted=taken)
        return told[0, len(request.prompt_ids) :].tolist(), counts
