"""Sampling parameters of a batch as tensors, one entry a row, set when a request takes the row.

`Features` says, on the host, which of them any live row uses: what nobody uses is not computed.
Skipping is exact, since a neutral parameter changes no bit.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch

from equivcheck.core.generation import Request


@dataclasses.dataclass(frozen=True)
class Features:
    """What the live rows need; part of the key under which a step's graph is captured."""

    random: bool = False
    all_random: bool = False
    truncated: bool = False
    history: bool = False


def features_of(requests: Sequence[Request]) -> Features:
    """The union of what `requests` use."""
    laws = [request.sampling for request in requests]
    return Features(
        random=any(not law.greedy for law in laws),
        all_random=bool(laws) and all(not law.greedy for law in laws),
        truncated=any(law.top_k or law.top_p < 1 or law.min_p for law in laws if not law.greedy),
        history=any(uses_history(request) for request in requests),
    )


def uses_history(request: Request) -> bool:
    """Whether anything that comes before temperature is switched on."""
    law = request.sampling
    return (
        law.repetition_penalty != 1.0
        or law.presence_penalty != 0.0
        or law.frequency_penalty != 0.0
        or bool(law.logit_bias or law.banned_tokens or law.min_new_tokens)
    )


class SamplingControls:
    """Tensors of [rows] or [rows, vocab]; neutral until `admit`."""

    def __init__(self, *, rows: int, vocab: int, device: torch.device) -> None:

        def per_row(value: float) -> torch.Tensor:
            return torch.full((rows,), value, device=device)

        def per_token(dtype: torch.dtype) -> torch.Tensor:
            return torch.zeros((rows, vocab), dtype=dtype, device=device)

        self.features = Features()
        self.vocab = vocab
        self.greedy = torch.ones(rows, dtype=torch.bool, device=device)
        self.safe_temperature = per_row(1.0)
        """Temperature, with 1 in greedy rows, whose logits are not scaled."""
        self.top_k = torch.full((rows,), vocab, dtype=torch.int64, device=device)
        self.top_p = per_row(1.0)
        self.min_p = per_row(0.0)
        self.repetition_penalty = per_row(1.0)
        self.presence_penalty = per_row(0.0)
        self.frequency_penalty = per_row(0.0)
        self.min_new_tokens = torch.zeros(rows, dtype=torch.int64, device=device)
        self.prompt_seen = per_token(torch.bool)
        self.bias = per_token(torch.float32)
        self.banned = per_token(torch.bool)
        self.stop_ids = per_token(torch.bool)

    def set_features(self, requests: Sequence[Request]) -> None:
        """Declare which requests are live."""
        self.features = features_of(requests)

    def admit(self, row: int, request: Request, *, stop_ids: Sequence[int]) -> None:
        """Give a row to a request; `stop_ids` are all ids that would end it."""
        law = request.sampling
        self.greedy[row] = law.greedy
        self.safe_temperature[row] = 1.0 if law.greedy else law.temperature
        self.top_k[row] = law.top_k or self.vocab
        # Rounding may leave the cumulated mass a little under 1: p = 1 has to keep every token.
        self.top_p[row] = law.top_p if law.top_p < 1 else 2.0
        self.min_p[row] = law.min_p
        self.repetition_penalty[row] = law.repetition_penalty
        self.presence_penalty[row] = law.presence_penalty
        self.frequency_penalty[row] = law.frequency_penalty
        self.min_new_tokens[row] = law.min_new_tokens
        for mask, tokens in (
            (self.prompt_seen, request.prompt_ids),
            (self.banned, law.banned_tokens),
            (self.stop_ids, stop_ids),
        ):
            mask[row] = False
            mask[row, torch.tensor(list(tokens), dtype=torch.int64)] = True
        self.bias[row] = 0.0
        if law.logit_bias:
            biased = torch.tensor(list(law.logit_bias), dtype=torch.int64)
            self.bias[row, biased] = torch.tensor(list(law.logit_bias.values())).to(self.bias)
