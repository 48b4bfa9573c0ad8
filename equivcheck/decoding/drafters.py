"""Drafters: who proposes tokens. A drafter only moves acceptance, never the output.

Speed is spent here freely: the draft model need not be shape-invariant.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from equivcheck.decoding.graphs import Recorder
from equivcheck.decoding.model import StaticModel
from equivcheck.decoding.prefill import Prefill, Span
from equivcheck.decoding.rows import Rows
from equivcheck.decoding.transforms import penalise, sharpen
from equivcheck.decoding.verification import Proposal, VerificationRule


class Drafter(Protocol):
    """Proposes up to gamma tokens a row."""

    def read(self, rows: Rows, spans: Sequence[Span]) -> None:
        """Read what it does not know yet of some rows' tokens."""
        ...

    def ready(self, rows: Rows, *, longest: int) -> None:
        """Record ahead how texts of up to `longest` tokens are read; rows are idle."""
        ...

    @property
    def recorders(self) -> tuple[Recorder, ...]:
        """What records that."""
        ...

    def propose(self, rows: Rows, rule: VerificationRule, *, gamma: int, unread: int) -> Proposal:
        """Propose `gamma` >= 1 tokens a row, drawn as the rule wants them drawn.

        `unread` latest tokens of a row may not have been shown to the drafter yet.
        """
        ...

    def forecast(self, rows: Rows) -> Tensor | None:
        """What the policy should know of the next step, one number a row; None: nothing."""
        ...


class ModelDrafter:
    """A smaller model with the same tokenizer."""

    def __init__(self, model: StaticModel, *, rows: int) -> None:
        """Give the draft model a cache of its own."""
        self.model = model
        self.cache = model.new_cache(rows=rows)
        self.prefill = Prefill(model, self.cache, together=True, whole=False)

    def read(self, rows: Rows, spans: Sequence[Span]) -> None:
        """Fill the cache."""
        self.prefill.read(rows.tokens, spans)

    def ready(self, rows: Rows, *, longest: int) -> None:
        """Have that recorded."""
        self.prefill.ready(rows.tokens, longest=longest)

    @property
    def recorders(self) -> tuple[Recorder, ...]:
        """That of the readings."""
        return (self.prefill.recorder,)

    def propose(self, rows: Rows, rule: VerificationRule, *, gamma: int, unread: int) -> Proposal:
        """Draft token by token, after reading what is unread."""
        start = (rows.length - unread).clamp(min=0)
        window = rows.tokens.gather(1, start[:, None] + torch.arange(unread, device=start.device))
        cache = self.cache.upto(self.model.reach(rows.reach))
        hidden = self.model.forward(window, start, cache)
        last = (rows.length - 1 - start)[:, None, None].expand(-1, 1, hidden.shape[-1])
        hidden = hidden.gather(1, last)
        prefix, tokens, laws = rows.prefix, [], []
        for slot in range(gamma):
            logits = self.model.logits(hidden[:, -1])
            if rows.controls.features.history:
                logits = penalise(logits, rows.controls, prefix)
            log_law = sharpen(logits[:, None], rows.controls)
            position = rows.length[:, None] + slot
            token = rule.draw(log_law, rows, position)
            laws.append(log_law)
            tokens.append(token)
            if slot + 1 < gamma:
                prefix = prefix.extended(token[:, 0]) if rows.controls.features.history else prefix
                hidden = self.model.forward(token, rows.length + slot, cache)
        return Proposal(torch.cat(tokens, dim=1), rows.draftable(gamma), torch.cat(laws, dim=1))

    def forecast(self, rows: Rows) -> None:
        """Nothing."""


class PromptLookupDrafter:
    """Proposes what followed the last occurrence of the current n-gram (Saxena 2023)."""

    def __init__(self, *, longest: int = 3, shortest: int = 1) -> None:
        """Try n-grams of `longest` tokens first, then shorter ones."""
        self.sizes = range(longest, shortest - 1, -1)

    def read(self, rows: Rows, spans: Sequence[Span]) -> None:
        """Nothing to prepare: the rows hold the text."""

    def ready(self, rows: Rows, *, longest: int) -> None:
        """Nothing to prepare."""

    @property
    def recorders(self) -> tuple[Recorder, ...]:
        """None."""
        return ()

    def propose(self, rows: Rows, rule: VerificationRule, *, gamma: int, unread: int) -> Proposal:
        """Look the current n-gram up in each row's own tokens; no match proposes nothing."""
        match = self.match(rows)
        slots = match.follow[:, None] + torch.arange(gamma, device=match.follow.device)
        tokens = rows.tokens.gather(1, slots.clamp(max=rows.tokens.shape[1] - 1))
        return Proposal(tokens, torch.minimum(match.known, rows.draftable(gamma)), None)

    def forecast(self, rows: Rows) -> None:
        """Nothing."""

    def match(self, rows: Rows) -> Match:
        """The latest match of the longest n-gram of each row."""
        follow, size = torch.zeros_like(rows.length), torch.zeros_like(rows.length)
        known = rows.tokens[:, : rows.reach]
        for tried in self.sizes:
            ends = torch.arange(tried, known.shape[1], device=follow.device)
            tail = rows.tokens.gather(1, (rows.upcoming(tried) - tried).clamp(min=0))
            grams = known[:, :-1].unfold(1, tried, 1)
            hits = (grams == tail[:, None]).all(dim=-1) & (ends < rows.length[:, None])
            latest = torch.where(hits, ends, 0).max(dim=1).values
            size = torch.where((follow == 0) & (latest > 0), tried, size)
            follow = torch.where(follow > 0, follow, latest)
        return Match(follow, size, torch.where(follow > 0, rows.length - follow, 0))


class Match(NamedTuple):
    """Where each row's last tokens came up before; each [rows], int64, 0 for nowhere."""

    follow: Tensor
    """Index of the token after the match."""
    size: Tensor
    """Tokens that match."""
    known: Tensor
    """Tokens from `follow` on."""
