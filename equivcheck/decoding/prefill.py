"""Reading a prompt: chunks of one fixed shape, one row at a time.

Both arms prefill with this very function, so a prompt's cache has the same bits in both. The last
prompt token is left to the first decoding step: all output comes out of the shape-locked step.
"""

from __future__ import annotations

import torch
from torch import Tensor

from equivcheck.decoding.cache import StaticCache
from equivcheck.decoding.model import StaticModel

CHUNK = 64


def prefill(model: StaticModel, cache: StaticCache, prompt: Tensor, *, known: int = 0) -> None:
    """Write all but the last token of `prompt` [length] into a one-row cache.

    The first `known` of them are there already. The cache needs room for the rest rounded up to
    whole chunks.
    """
    unread = prompt[:-1]
    for start in range(known, len(unread), CHUNK):
        chunk = unread[start : start + CHUNK]
        padded = torch.nn.functional.pad(chunk, (0, CHUNK - len(chunk)))[None]
        seen = cache.upto(model.reach(start + CHUNK))
        model.forward(padded, torch.tensor([start], device=prompt.device), seen)
