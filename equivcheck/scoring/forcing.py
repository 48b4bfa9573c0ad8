"""Teacher forcing: what a model holds of outputs that follow one prompt, window by window.

Outputs of one prompt share its cache. Behind it they are padded on the right, so that no token ever
sees padding and no attention mask is needed.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import DynamicCache

from equivcheck.scoring.told import UnreportedMass

BATCH = 32
"""Outputs of one prompt that are read at once."""
PROMPT_CHUNK = 256
"""Prompt tokens that a forward pass covers."""


class Teacher:
    """A transformers model that reads given tokens and generates none."""

    def __init__(self, model: Any) -> None:
        """Wrap a causal language model."""
        self.model = model
        self.device: torch.device = model.device
        self.vocab: int = model.get_output_embeddings().weight.shape[0]

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


class OutputWindow(NamedTuple):
    """Consecutive tokens of one output."""

    output: int
    """Which output."""
    first: int
    """Place of the first token in it."""
    logits: tuple[Tensor, ...]
    """Logits of each teacher, [tokens, vocab]."""
    told: UnreportedMass | None = None
    """What is known of a row that is not told as a whole; None: a model gave all of it."""


def read(
    teachers: Sequence[Teacher],
    prompt: Sequence[int],
    outputs: Sequence[Sequence[int]],
    *,
    elements: int,
) -> Iterator[OutputWindow]:
    """What models hold of all tokens of outputs that follow one prompt.

    Args:
        teachers: models of one vocabulary.
        prompt: what comes before.
        outputs: not empty each, neighbours best of similar length.
        elements: logits of each model that are held at once, or those of one position.

    Raises:
        ValueError: the prompt is empty.
    """
    if not prompt:
        raise ValueError("a prompt without a token cannot be scored")
    memories = [teacher.remember(prompt) for teacher in teachers]
    for start in range(0, len(outputs), BATCH):
        batch = [torch.tensor(output) for output in outputs[start : start + BATCH]]
        tokens = pad_sequence(batch, batch_first=True).to(teachers[0].device)
        width = max(1, elements // (len(batch) * teachers[0].vocab))
        parts = zip(
            *(
                teacher.windows(prompt, tokens, memory, width=width)
                for teacher, memory in zip(teachers, memories, strict=True)
            ),
            strict=True,
        )
        for part, logits in enumerate(parts):
            for line, output in enumerate(batch):
                kept = min(width, len(output) - part * width)
                if kept > 0:
                    yield OutputWindow(
                        output=start + line,
                        first=part * width,
                        logits=tuple(each[line, :kept] for each in logits),
                    )
