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


def prefill(model: StaticModel, cache: StaticCache, prompt: Tensor) -> None:
    """Write all but the last token of `prompt` [length] into a one-row cache.

    The cache needs room for the prompt rounded up to whole chunks.
    """
    known = prompt[:-1]
    for start in range(0, len(known), CHUNK):
        chunk = known[start : start + CHUNK]
        padded = torch.nn.functional.pad(chunk, (0, CHUNK - len(chunk)))[None]
        seen = cache.upto(model.reach(start + CHUNK))
        model.forward(padded, torch.tensor([start], device=prompt.device), seen)
