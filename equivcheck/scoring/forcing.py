"""Teacher forcing: what a model holds of outputs that follow one prompt, window by window.

Outputs of one prompt share its cache. Behind it they are padded on the right, so that no token ever
sees padding and no attention mask is needed.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

PROMPT_CHUNK = 256
"""Prompt tokens that a forward pass covers."""


class Teacher:
    """A transformers model that reads given tokens and generates none."""

    def __init__(self, model: Any) -> None:
        """Wrap a causal language model."""
        self.model = model
        self.device: torch.device = model.device

    def read(self, tokens: Tensor, cache: DynamicCache, *, keep: int) -> Tensor:
        """Logits behind the last `keep` tokens (0: behind all) of [outputs, length]."""
        logits: Tensor = self.model(
            input_ids=tokens, past_key_values=cache, use_cache=True, logits_to_keep=keep
        ).logits
        return logits

    def remember(self, prompt: Sequence[int]) -> DynamicCache:
        """Read all of a prompt but its last token."""
        cache = DynamicCache(config=self.model.config)
        known = torch.tensor([prompt[:-1]], dtype=torch.int64, device=self.device)
        for start in range(0, known.shape[1], PROMPT_CHUNK):
            self.read(known[:, start : start + PROMPT_CHUNK], cache, keep=1)
        return cache

    def windows(
        self, prompt: Sequence[int], tokens: Tensor, memory: DynamicCache, *, width: int
    ) -> Iterator[Tensor]:
        """Logits behind each output token's own prefix, `width` positions at a time.

        Args:
            prompt: not empty.
            tokens: outputs padded on the right, [outputs, length].
            memory: of the prompt, by `remember`; left as it is.
            width: positions of a window.

        Yields:
            [outputs, up to width, vocab].
        """
        cache = copy.deepcopy(memory)
        if len(prompt) > 1 and len(tokens) > 1:
            cache.batch_repeat_interleave(len(tokens))
        first = torch.full_like(tokens[:, :1], prompt[-1])
        fed = torch.cat([first, tokens[:, :-1]], dim=1)
        for start in range(0, fed.shape[1], width):
            yield self.read(fed[:, start : start + width], cache, keep=0)
