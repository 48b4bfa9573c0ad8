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
CHUNK_ON_CUDA = 256
"""Starting the kernels of 64 tokens takes a GPU's host as long as starting those of 256."""


def chunk_on(device: torch.device) -> int:
    """Tokens that are read at once on a device; the same in all arms."""
    return CHUNK_ON_CUDA if device.type == "cuda" else CHUNK


def prefill(model: StaticModel, cache: StaticCache, prompt: Tensor, *, known: int = 0) -> None:
    """Write all but the last token of `prompt` [length] into a one-row cache.

    The first `known` of them are there already. The cache needs room for the rest rounded up to
    whole chunks.
    """
    unread, size = prompt[:-1], chunk_on(model.device)
    for start in range(known, len(unread), size):
        chunk = unread[start : start + size]
        padded = torch.nn.functional.pad(chunk, (0, size - len(chunk)))[None]
        seen = cache.upto(model.reach(start + size))
        # Filled, not copied there: a copy from the host would wait for the device.
        model.forward(padded, torch.full((1,), start, device=prompt.device), seen)
