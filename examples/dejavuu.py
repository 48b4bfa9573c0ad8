"""dejavuu 0.2.0: its `generate` with its Hugging Face backend, as chains or trees of drafts.

`method=baseline` is its plain decoding. Noise hangs on seed and position alone, so that a sampled
request has to get plain decoding's tokens.
"""

from collections.abc import Mapping
from typing import Any

from equivcheck import DraftCounts, EngineSetup, Request, decode_options
from equivcheck_examples.one_at_a_time import OneAtATime, Options


class Methods(Options, frozen=True, forbid_unknown_fields=True, kw_only=True):
    method: str = "token_recycling"
    tree: bool = False


def open_engine(options: Mapping[str, str], setup: EngineSetup) -> "Dejavuu":
    return Dejavuu(decode_options("dejavuu", options, Methods), setup)


class Dejavuu(OneAtATime):
    NAME = "dejavuu"
    SERVES = ("temperature", "top_p")
    LACKS = ("stop", "stop_token_ids")
    SAYS = {"rule": "coupled", "reports_counts": True}

    def __init__(self, options: Methods, setup: EngineSetup) -> None:
        import torch
        from dejavuu.core.engine import generate
        from dejavuu.core.sampling import Sampler
        from dejavuu.decoders.hf import HFBackend
        from dejavuu.drafters import make_drafter

        super().__init__(options, setup)
        self.run, self.sampler, self.drafter = generate, Sampler, make_drafter
        # Its constructor loads hub ids; a dataclass, whose fields are set here instead.
        self.backend = HFBackend.__new__(HFBackend)
        for name, value in {"device": "cpu", "_model": self.pair.target, "_torch": torch}.items():
            setattr(self.backend, name, value)
        self.most = 0 if options.method == "baseline" or options.sound else options.gamma

    def decode(self, request: Request, stops: list[int]) -> tuple[list[int], Any]:
        distribution = request.sampling
        told = self.run(
            self.backend,
            list(request.prompt_ids),
            request.max_new_tokens,
            self.drafter(self.options.method) if self.most else None,
            self.options.gamma,
            *stops[:1],
            tree=self.options.tree,
            sampler=None
            if distribution.greedy
            else self.sampler(distribution.temperature, distribution.top_p, request.stream_seed),
        )
        counts = DraftCounts(drafted=told.drafted, accepted=told.accepted, steps=told.steps)
        return told.tokens, counts
