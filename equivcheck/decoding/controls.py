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
    samplings = [request.sampling for request in requests]
    return Features(
        random=any(not sampling.greedy for sampling in samplings),
        all_random=bool(samplings) and all(not sampling.greedy for sampling in samplings),
        truncated=any(
            sampling.top_k or sampling.top_p < 1 or sampling.min_p
            for sampling in samplings
            if not sampling.greedy
        ),
        history=any(uses_history(request) for request in requests),
    )


def uses_history(request: Request) -> bool:
    """Whether anything that comes before temperature is switched on."""
    sampling = request.sampling
    return (
        sampling.repetition_penalty != 1.0
        or sampling.presence_penalty != 0.0
        or sampling.frequency_penalty != 0.0
        or bool(sampling.logit_bias or sampling.banned_tokens or sampling.min_new_tokens)
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
        sampling = request.sampling
        self.greedy[row] = sampling.greedy
        self.safe_temperature[row] = 1.0 if sampling.greedy else sampling.temperature
        self.top_k[row] = sampling.top_k or self.vocab
        # Rounding may leave the cumulated mass a little under 1: p = 1 has to keep every token.
        self.top_p[row] = sampling.top_p if sampling.top_p < 1 else 2.0
        self.min_p[row] = sampling.min_p
        self.repetition_penalty[row] = sampling.repetition_penalty
        self.presence_penalty[row] = sampling.presence_penalty
        self.frequency_penalty[row] = sampling.frequency_penalty
        self.min_new_tokens[row] = sampling.min_new_tokens
        for mask, tokens in (
            (self.prompt_seen, request.prompt_ids),
            (self.banned, sampling.banned_tokens),
            (self.stop_ids, stop_ids),
        ):
            mask[row] = False
            mask[row, torch.tensor(list(tokens), dtype=torch.int64)] = True
        self.bias[row] = 0.0
        if sampling.logit_bias:
            biased = torch.tensor(list(sampling.logit_bias), dtype=torch.int64)
            self.bias[row, biased] = torch.tensor(list(sampling.logit_bias.values())).to(self.bias)
