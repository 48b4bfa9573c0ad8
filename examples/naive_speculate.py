"""naive-speculate 0.1.0: `SpeculativeDecoder.decode`, in a loop, with the pair's modules.

The package has no loop around its step: stops and limits are this file's. It samples at
temperature 1.
"""

from collections.abc import Mapping
from typing import Any

import torch

from equivcheck import EngineSetup, Request, decode_options
from equivcheck_examples.one_at_a_time import OneAtATime, Options, Round, cut, last
from equivcheck_examples.sound import step


def open_engine(options: Mapping[str, str], setup: EngineSetup) -> "NaiveSpeculate":
    return NaiveSpeculate(decode_options("naive_speculate", options, Options), setup)


class Language:
    """A model under the package's interface `LanguageModel`."""

    def __init__(self, model: Any, eos_token_id: int) -> None:
        self.model, self.eos_token_id = model, eos_token_id

    def forward(self, query_token_ids: Any, kv_cache: Any) -> Any:
        return self.model(query_token_ids, past_key_values=kv_cache.cache, use_cache=True).logits


class NaiveSpeculate(OneAtATime):
    NAME = "naive_speculate"
    SAYS = {**OneAtATime.SAYS, "ranges": {"temperature": (1.0, 1.0)}}

    def __init__(self, options: Options, setup: EngineSetup) -> None:
        from naive_speculate.config.strategy import SampleStrategy, VerifyStrategy
        from naive_speculate.infer.inferencer.basic import BasicInferencer
        from naive_speculate.infer.kvcache.dynamic import DynamicCache
        from naive_speculate.speculate import SpeculativeDecoder
        from naive_speculate.speculate.drafter import Drafter
        from naive_speculate.speculate.scorer import Scorer

        super().__init__(options, setup)
        (eos,) = self.pair.eos_token_ids
        self.cache, self.decoder = DynamicCache, SpeculativeDecoder
        self.drafter = Drafter(BasicInferencer(Language(self.pair.draft, eos)))
        self.propose, self.drafter.draft = self.drafter.draft, self.watched
        self.scorer = Scorer(Language(self.pair.target, eos))
        self.greedy = SampleStrategy.GREEDY, VerifyStrategy.GREEDY_MATCH
        self.sampled = SampleStrategy.RANDOM, VerifyStrategy.SPECULATIVE_SAMPLING

    def watched(self, **how: Any) -> Any:
        told = self.propose(**how)
        self.drafted = told.token_ids.shape[1]
        return told

    def decode(self, request: Request, stops: list[int]) -> tuple[list[int], list[Round]]:
        gamma, heat = self.options.gamma, request.sampling.temperature
        decoder = self.decoder(self.drafter, self.scorer, self.cache(), self.cache())
        ids = query = torch.tensor([request.prompt_ids])
        tokens: list[int] = []
        rounds: list[Round] = []
        while last(tokens, request, stops) < request.max_new_tokens:
            if set(tokens) & set(stops):
                break
            if self.options.sound:
                models = self.target, self.draft
                block, accepted = step(*models, ids, gamma=gamma, temperature=heat)
                drafted = gamma
            else:
                told = decoder.decode(query, gamma, *(self.sampled if heat else self.greedy))
                block, accepted = told.token_ids[0].tolist(), told.num_accepted_tokens
                drafted = self.drafted
            tokens += block
            rounds.append(Round(drafted, accepted, len(block)))
            ids = torch.cat([ids, torch.tensor([block])], 1)
            # Where all drafts were accepted, neither cache has the last of them.
            query = ids[:, decoder.scorer_kvcache.get_num_tokens() :]
        return cut(tokens, rounds, length=last(tokens, request, stops))
