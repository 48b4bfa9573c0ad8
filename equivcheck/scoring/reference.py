"""The reference: transformers' own forward pass over what was generated, in high precision.

Its weights are those of the run's compute dtype, widened: what rounding them has cost is part of
the model that was run, not an error of its decoder. Norms stay in fp32 where transformers has them
so. Reads tokens, generates none; shares no code with `decoding/`.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import DynamicCache

from equivcheck.core.generation import Request
from equivcheck.core.settings import Settings
from equivcheck.engines.device import configure_arithmetic, load_setup
from equivcheck.records.records import Gap
from equivcheck.scoring.penalties import apply_penalties, changes_logits

CHUNK = 128
"""Positions a forward pass covers: bounds the memory that logits take, [CHUNK, vocab]."""
LOWEST = -1e30
"""Stands for the logarithm of zero: JSON has no minus infinity."""
DECIMALS = 9
WIDENED_KEPT = 2
"""A run's target and draft."""


class ReferenceLogits(NamedTuple):
    """The reference's opinion on one or more next tokens, each [..., vocab]."""

    raw: Tensor
    """Logits as the model gives them."""
    logprobs: Tensor
    """After penalties, biases and bans; natural logarithms."""


class OutputScores(NamedTuple):
    """The reference's opinion on an output, one entry a token."""

    logprobs: tuple[float, ...]
    gaps: tuple[Gap, ...]


class Reference:
    """Scores tokens by teacher forcing."""

    def __init__(self, settings: Settings, *, eos_token_ids: Sequence[int]) -> None:
        """Load the run's target and widen it to the precision of arbitration."""
        configure_arithmetic(settings.setup)
        self.model = widened(load_setup(settings.setup).target, settings.arbitration)
        self.eos_token_ids = tuple(eos_token_ids)
        self.name = f"transformers {settings.arbitration}"

    @torch.inference_mode()
    def score(self, request: Request, output: Sequence[int]) -> OutputScores:
        """Score every token of an output, given its own prefix."""
        logprobs: list[float] = []
        gaps: list[Gap] = []
        for distribution, tokens in self.distributions(request, output):
            chosen = torch.tensor(tokens, device=distribution.raw.device)[:, None]
            own = distribution.logprobs.gather(1, chosen)[:, 0]
            highest, best = distribution.logprobs.max(dim=-1)
            pair = torch.cat([chosen, best[:, None]], dim=1)
            magnitude = distribution.raw.gather(1, pair).abs().amax(dim=1)
            logprobs += [written(value) for value in own.tolist()]
            columns = zip((highest - own).tolist(), best.tolist(), magnitude.tolist(), strict=True)
            gaps += [
                Gap(gap=written(gap), best=token, magnitude=round(size, DECIMALS))
                for gap, token, size in columns
            ]
        return OutputScores(tuple(logprobs), tuple(gaps))

    @torch.inference_mode()
    def next_token(
        self, request: Request, prefix: Sequence[int], *, among: Sequence[int] = ()
    ) -> ReferenceLogits:
        """The distribution of the token behind ``prefix``, [vocab]: of all, `among` whichever."""
        sequence = (*request.prompt_ids, *prefix)
        # What the token is does not matter to its own distribution.
        (rows,) = self.logits(sequence, sequence[:1])
        distribution = self.distribution(rows, request, output=prefix, done=len(prefix))
        return ReferenceLogits(distribution.raw[0], distribution.logprobs[0])

    def distributions(
        self, request: Request, output: Sequence[int]
    ) -> Iterator[tuple[ReferenceLogits, Sequence[int]]]:
        """Distributions of the output's tokens and these tokens, a few at a time, in order."""
        done = 0
        for rows in self.logits(request.prompt_ids, output):
            distribution = self.distribution(rows, request, output=output, done=done)
            yield distribution, output[done : done + len(rows)]
            done += len(rows)

    def distribution(
        self, rows: Tensor, request: Request, *, output: Sequence[int], done: int
    ) -> ReferenceLogits:
        """Penalise raw rows [tokens, vocab], the first of which follows ``done`` output tokens."""
        if not changes_logits(request):
            return ReferenceLogits(rows, rows.log_softmax(dim=-1))
        ends = ends_of(request, eos_token_ids=self.eos_token_ids)
        penalised = [
            apply_penalties(row, request, output=output[:index], end_ids=ends)
            for index, row in enumerate(rows, start=done)
        ]
        return ReferenceLogits(rows, torch.stack(penalised).log_softmax(dim=-1))

    def logits(self, prompt: Sequence[int], output: Sequence[int]) -> Iterator[Tensor]:
        """Raw logits behind each output token, chunk by chunk, [tokens, vocab]; none of none."""
        if not output:
            return
        tokens = torch.tensor([[*prompt, *output[:-1]]], device=self.model.device)
        cache = DynamicCache(config=self.model.config)
        for start in range(0, tokens.shape[1], CHUNK):
            window = tokens[:, start : start + CHUNK]
            logits = self.model(input_ids=window, past_key_values=cache, use_cache=True).logits[0]
            first = max(0, len(prompt) - 1 - start)
            if first < len(logits):
                yield logits[first:]


@functools.lru_cache(maxsize=WIDENED_KEPT)
def widened(model: Any, precision: str) -> Any:
    """A model in a higher precision, its weights those of the run's compute dtype."""
    dtype: torch.dtype = getattr(torch, precision)
    return model if model.dtype == dtype else copy.deepcopy(model).to(dtype)


def ends_of(request: Request, *, eos_token_ids: Sequence[int]) -> tuple[int, ...]:
    """All ids that would end a request."""
    return (*request.stop_token_ids, *(() if request.ignore_eos else eos_token_ids))


def written(value: float) -> float:
    """A number as records keep it: finite, and no longer than it is exact."""
    return round(min(max(value, LOWEST), -LOWEST), DECIMALS)
