"""What comes between logits and temperature, written a second time from its definition.

`cases.Sampling` defines it; `decoding/transforms.py` is the other implementation. This one works on
one row and the tokens that matter to it, and shares no code, so that neither hides the other's bug.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from torch import Tensor, where

from equivcheck.generation import Request


def changes_logits(request: Request) -> bool:
    """Whether a request asks for any of it."""
    law = request.sampling
    return bool(
        law.repetition_penalty != 1
        or law.presence_penalty
        or law.frequency_penalty
        or law.logit_bias
        or law.banned_tokens
        or law.min_new_tokens
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
    law, row = request.sampling, row.clone()
    counts = Counter(output)
    if law.repetition_penalty != 1:
        seen = sorted({*request.prompt_ids, *counts})
        old = row[seen]
        row[seen] = where(old > 0, old / law.repetition_penalty, old * law.repetition_penalty)
    for token, times in counts.items():
        row[token] -= law.presence_penalty + law.frequency_penalty * times
    for token, bias in law.logit_bias.items():
        row[token] += bias
    hidden = list(law.banned_tokens)
    if len(output) < law.min_new_tokens:
        hidden += end_ids
    row[hidden] = float("-inf")
    return row
