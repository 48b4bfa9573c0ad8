"""A server that scores, without the server: a small model's own rows, cut to the best tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from equivcheck.core.errors import EngineError
from equivcheck.core.settings import EngineSetup
from equivcheck.engines.device import load_setup
from equivcheck.engines.http.rows import TokenRows, token_rows
from equivcheck.engines.http.scorer import Output


class ModelRows:
    """Tells the best log-probabilities of a pair's target, or its logits."""

    name = "a model"
    context: int | None = None

    def __init__(self, setup: EngineSetup, *, most: int, logits: bool = False) -> None:
        self.model = load_setup(setup).target
        self.vocab, self.most, self.logits = load_setup(setup).vocab_size, most, logits
        self.refused: set[Sequence[int]] = set()
        """Outputs that it refuses to score."""

    def score(self, outputs: Sequence[Output]) -> Iterator[TokenRows | EngineError]:
        for prompt, output in outputs:
            refused = tuple(output) in self.refused
            yield EngineError("too long") if refused else self.rows(prompt, output)

    @torch.inference_mode()
    def rows(self, prompt: Sequence[int], output: Sequence[int]) -> TokenRows:
        logits = self.model(torch.tensor([[*prompt, *output]])).logits[0, len(prompt) - 1 : -1]
        values = logits if self.logits else logits.log_softmax(dim=-1)
        most = min(self.most, self.vocab)
        best = values.topk(most, dim=-1).indices.tolist()
        places = [
            {each: float(row[each]) for each in {*ids, token}}
            for row, ids, token in zip(values, best, output, strict=True)
        ]
        return token_rows(places, output, vocab=self.vocab, most=self.most)
