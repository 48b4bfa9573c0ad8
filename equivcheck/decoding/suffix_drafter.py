"""The suffix drafter: proposes what its own text and earlier answers lead to (Oliaro et al. 2024).

It looks texts up on the host before a step is started, so a step waits for the one before.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

import torch

from equivcheck.decoding.drafters import Drafter, Text
from equivcheck.decoding.rows import Rows
from equivcheck.decoding.suffixes import SuffixIndex, SuffixPool, continuation
from equivcheck.decoding.verification import Proposal, VerificationRule

CAPACITY = 2**16
"""Tokens of earlier answers that are kept."""


class Own:
    """What one row holds, indexed as far as it is known."""

    def __init__(self, text: Text) -> None:
        self.text = text
        self.index = SuffixIndex()
        self.tokens = [*text.prompt_ids]
        self.index.extend(None, self.tokens)

    def grow(self) -> None:
        """Index what has been answered since."""
        fresh = self.text.output[len(self.tokens) - len(self.text.prompt_ids) :]
        self.tokens.extend(fresh)
        self.index.extend(None, fresh)


class SuffixDrafter(Drafter):
    """Drafts what most often followed the longest suffix, in the row itself and in the pool.

    The pool holds the answers of requests that have left their row, of all runs since the drafter
    was made or reset. It decides how often drafts are right, and nothing else.
    """

    waits = stateful = True

    def __init__(
        self, *, rows: int, most: int, device: torch.device, capacity: int = CAPACITY
    ) -> None:
        """Draft at most `most` tokens a step; keep `capacity` tokens of earlier answers."""
        self.most = most
        self.pool = SuffixPool(capacity=capacity)
        self.numbers = count()
        self.own: list[Own | None] = [None] * rows
        self.drafts = torch.zeros((rows, most), dtype=torch.int64, device=device)
        self.found = torch.zeros(rows, dtype=torch.int64, device=device)

    def reset(self) -> None:
        self.pool = SuffixPool(capacity=self.pool.capacity)
        self.own = [None] * len(self.own)

    def follow(self, texts: Sequence[Text | None]) -> None:
        """Take in what rows hold, and look up how each goes on."""
        for row, text in enumerate(texts):
            before = self.own[row]
            if before is not None and before.text is not text:
                self.end(row, before)
                self.own[row] = None
            if text is not None and self.own[row] is None:
                self.own[row] = self.begin(row, text)
        drafts = [self.looked_up(own) for own in self.own]
        padded = [[*each, *[0] * (self.most - len(each))] for each in drafts]
        self.drafts.copy_(torch.tensor(padded))
        self.found.copy_(torch.tensor([len(each) for each in drafts]))

    def begin(self, row: int, text: Text) -> Own:
        """What a row holds that has been given to a request."""
        del row
        return Own(text)

    def end(self, row: int, own: Own) -> None:
        """Keep the answer of a request that has left its row."""
        del row
        self.pool.put(next(self.numbers), own.text.output)

    def looked_up(self, own: Own | None) -> list[int]:
        """The drafts of one row."""
        if own is None:
            return []
        own.grow()
        matches = [index.match(own.tokens) for index in (own.index, self.pool)]
        return continuation(matches, most=self.most)

    def propose(self, rows: Rows, rule: VerificationRule, *, gamma: int, unread: int) -> Proposal:
        return Proposal(
            self.drafts[:, :gamma], torch.minimum(self.found, rows.draftable(gamma)), None
        )
