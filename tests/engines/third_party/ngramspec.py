"""Stands for somebody else's decoder: greedy decoding with n-gram drafts, and an API of its own.

Knows nothing of equivcheck. The page on writing an adapter wraps it.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch


@dataclass
class Result:
    tokens: list[int]
    hit_stop: bool
    rounds: list[tuple[int, int]] = field(default_factory=list)
    """(proposed, matched) of each forward pass."""


class NgramDecoder:
    """Proposes what followed the last two tokens when they last occurred."""

    def __init__(self, model: Any, *, draft_tokens: int) -> None:
        self.model, self.draft_tokens = model, draft_tokens

    @torch.inference_mode()
    def generate(
        self, prompt: Sequence[int], *, max_tokens: int, stop_ids: Collection[int] = ()
    ) -> Result:
        text = list(prompt)
        result = Result(tokens=[], hit_stop=False)
        while len(result.tokens) < max_tokens and not result.hit_stop:
            room = max_tokens - len(result.tokens) - 1
            draft = self.propose(text)[:room]
            logits = self.model(torch.tensor([text + draft], device=self.model.device)).logits[0]
            choices = logits[len(text) - 1 :].argmax(-1).tolist()
            matched = 0
            while matched < len(draft) and draft[matched] == choices[matched]:
                matched += 1
            result.rounds.append((len(draft), matched))
            for token in choices[: matched + 1]:
                text.append(token)
                result.tokens.append(token)
                if token in stop_ids:
                    result.hit_stop = True
                    break
        return result

    def propose(self, text: list[int]) -> list[int]:
        for start in range(len(text) - 3, -1, -1):
            if text[start : start + 2] == text[-2:]:
                return text[start + 2 : start + 2 + self.draft_tokens]
        return []
