"""What comes between logits and temperature, written a second time from its definition.

`cases.Sampling` defines it; `decoding/transforms.py` is the other implementation. This one works on
one row and the tokens that matter to it, or on all rows of one output, and shares no code with the
other, so that neither hides the other's bug.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor, where

from equivcheck.core.generation import Request


def changes_logits(request: Request) -> bool:
    """Whether a request asks for any of it."""
    sampling = request.sampling
    return bool(
        sampling.repetition_penalty != 1
        or sampling.presence_penalty
        or sampling.frequency_penalty
        or sampling.logit_bias
        or sampling.banned_tokens
        or sampling.min_new_tokens
    )


def apply_penalties(
    row: Tensor, request: Request, *, output: Sequence[int], end_ids: Sequence[int]
) -> Tensor:
    """The logits that a token is drawn from at temperature 1, untruncated.

    Args:
        row: Raw logits, [vocab]; left as it is.
        request: Names the penalties, biases and bans.
        output: Tokens emitted before.
        end_ids: All ids that would end the request.
    """
    sampling, row = request.sampling, row.clone()
    counts = Counter(output)
    if sampling.repetition_penalty != 1:
        seen = sorted({*request.prompt_ids, *counts})
        old = row[seen]
        row[seen] = where(
            old > 0, old / sampling.repetition_penalty, old * sampling.repetition_penalty
        )
    for token, times in counts.items():
        row[token] -= sampling.presence_penalty + sampling.frequency_penalty * times
    for token, bias in sampling.logit_bias.items():
        row[token] += bias
    hidden = list(sampling.banned_tokens)
    if len(output) < sampling.min_new_tokens:
        hidden += end_ids
    row[hidden] = float("-inf")
    return row


def penalise_output(
    rows: Tensor, request: Request, *, output: Sequence[int], first: int, end_ids: Sequence[int]
) -> Tensor:
    """`apply_penalties` for a stretch of one output, each row by its own prefix.

    Args:
        rows: Raw logits, [tokens, vocab]; left as they are.
        request: Names the penalties, biases and bans.
        output: The whole output.
        first: Place in the output of the token that the first row is about.
        end_ids: All ids that would end the request.
    """
    sampling, vocab = request.sampling, rows.shape[1]

    def ids(tokens: Sequence[int]) -> Tensor:
        return torch.tensor(list(tokens), dtype=torch.int64, device=rows.device)

    before = torch.bincount(ids(output[:first]), minlength=vocab)
    added = torch.zeros(rows.shape, dtype=torch.int64, device=rows.device)
    inner = ids(output[first : first + len(rows) - 1])
    added[torch.arange(1, len(rows), device=rows.device), inner] = 1
    times = before + added.cumsum(dim=0)
    said = times > 0
    if sampling.repetition_penalty != 1:
        seen = said.clone()
        seen[:, ids(request.prompt_ids)] = True
        shrunk = where(
            rows > 0, rows / sampling.repetition_penalty, rows * sampling.repetition_penalty
        )
        rows = where(seen, shrunk, rows)
    rows = rows - (sampling.presence_penalty * said + sampling.frequency_penalty * times)
    rows[:, ids([*sampling.logit_bias])] += torch.tensor([*sampling.logit_bias.values()]).to(rows)
    rows[:, ids(sampling.banned_tokens)] = float("-inf")
    short = max(0, min(len(rows), sampling.min_new_tokens - first))
    rows[:short, ids(end_ids)] = float("-inf")
    return rows
