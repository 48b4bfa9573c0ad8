"""Drafters: who proposes tokens. A drafter only moves acceptance, never the output.

Speed is spent here freely: the draft model need not be shape-invariant.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor

from equivcheck.decoding.cache import StaticCache
from equivcheck.decoding.graphs import Recorder
from equivcheck.decoding.model import StaticModel
from equivcheck.decoding.prefill import Prefill, Span
from equivcheck.decoding.rows import Rows
from equivcheck.decoding.transforms import HIDDEN, penalise, sharpen
from equivcheck.decoding.verification import Proposal, VerificationRule


class Text(Protocol):
    """What a row has been given and has answered, on the host."""

    @property
    def prompt_ids(self) -> Sequence[int]:
        """The prompt."""
        ...

    @property
    def output(self) -> Sequence[int]:
        """The answer so far; it grows."""
        ...


class Drafter:
    """Proposes up to gamma tokens a row. What most drafters have no use for does nothing here."""

    keeps: tuple[int, ...] = ()
    """Places of the target's hidden states that it drafts from, as in `StaticCache.hidden`."""
    waits: bool = False
    """Whether a step can only be started when the one before has come to the host."""
    stateful: bool = False
    """Whether drafts depend on requests that have ended."""
    models: tuple[StaticModel, ...] = ()
    """Whose weights it uses."""
    caches: tuple[StaticCache, ...] = ()
    """That it writes."""

    @property
    def recorders(self) -> tuple[Recorder, ...]:
        """What records how texts are read."""
        return ()

    def read(self, rows: Rows, spans: Sequence[Span]) -> None:
        """Read what it does not know yet of some rows' tokens."""

    def ready(self, rows: Rows, *, longest: int) -> None:
        """Record ahead how texts of up to `longest` tokens are read; rows are idle."""

    def reset(self) -> None:
        """Forget requests that have ended."""

    def follow(self, texts: Sequence[Text | None]) -> None:
        """Take in, on the host, what each row holds before it is asked to propose."""

    def propose(self, rows: Rows, rule: VerificationRule, *, gamma: int, unread: int) -> Proposal:
        """Propose `gamma` >= 1 tokens a row, drawn as the rule wants them drawn.

        `unread` latest tokens of a row may not have been shown to the drafter yet.
        """
        raise NotImplementedError

    def forecast(self, rows: Rows) -> Tensor | None:
        """What the policy should know of the next step, one number a row; None: nothing."""
        return None


State = TypeVar("State")


class ChainDrafter(Drafter, Generic[State]):
    """Drafts token by token, each of which is fed back for the next."""

    def begin(self, rows: Rows, *, unread: int) -> State:
        """Read what is unread; what the first draft comes of."""
        raise NotImplementedError

    def logits(self, state: State) -> Tensor:
        """Logits of the next draft, fp32, [rows, vocab]; `HIDDEN` where it can never be."""
        raise NotImplementedError

    def go_on(self, rows: Rows, token: Tensor, state: State, *, slot: int) -> State:
        """Feed back the draft `token` [rows, 1] of a slot, counted from 0."""
        raise NotImplementedError

    def room(self, rows: Rows, *, gamma: int) -> Tensor:
        """How many drafts each row can take, [rows]."""
        return rows.draftable(gamma)

    def propose(self, rows: Rows, rule: VerificationRule, *, gamma: int, unread: int) -> Proposal:
        """Draft token by token, after reading what is unread."""
        state = self.begin(rows, unread=unread)
        history, room = rows.controls.features.history, self.room(rows, gamma=gamma)
        prefix, tokens, probs = rows.prefix, [], []
        for slot in range(gamma):
            logits = self.logits(state)
            if history:
                logits = penalise(logits, rows.controls, prefix)
                # Of a part of the vocabulary everything may be banned: nothing is meant then.
                barred = logits.amax(dim=-1) == HIDDEN
                room = torch.where(barred, room.clamp(max=slot), room)
                logits = logits.masked_fill(barred[:, None], 0.0)
            log_probs = sharpen(logits[:, None], rows.controls)
            token = rule.draw(log_probs, rows, rows.length[:, None] + slot)
            probs.append(log_probs)
            tokens.append(token)
            if slot + 1 < gamma:
                prefix = prefix.extended(token[:, 0]) if history else prefix
                state = self.go_on(rows, token, state, slot=slot)
        return Proposal(torch.cat(tokens, dim=1), room, torch.cat(probs, dim=1))


class ModelDrafter(ChainDrafter[Tensor]):
    """A smaller model with the same tokenizer. Its state is the hidden state, [rows, 1, hidden]."""

    def __init__(self, model: StaticModel, *, rows: int) -> None:
        """Give the draft model a cache of its own."""
        self.model = model
        self.cache = model.new_cache(rows=rows)
        self.prefill = Prefill(model, self.cache, together=True, whole=False)
        self.models, self.caches = (model,), (self.cache,)

    @property
    def recorders(self) -> tuple[Recorder, ...]:
        return (self.prefill.recorder,)

    def read(self, rows: Rows, spans: Sequence[Span]) -> None:
        self.prefill.read(rows.tokens, spans)

    def ready(self, rows: Rows, *, longest: int) -> None:
        self.prefill.ready(rows.tokens, longest=longest)

    def begin(self, rows: Rows, *, unread: int) -> Tensor:
        """Read the latest tokens."""
        start = (rows.length - unread).clamp(min=0)
        window = rows.tokens.gather(1, start[:, None] + torch.arange(unread, device=start.device))
        hidden = self.model.forward(window, start, self.seen(rows))
        last = (rows.length - 1 - start)[:, None, None].expand(-1, 1, hidden.shape[-1])
        return hidden.gather(1, last)

    def logits(self, state: Tensor) -> Tensor:
        return self.model.logits(state[:, -1])

    def go_on(self, rows: Rows, token: Tensor, state: Tensor, *, slot: int) -> Tensor:
        del state
        return self.model.forward(token, rows.length + slot, self.seen(rows))

    def seen(self, rows: Rows) -> StaticCache:
        """The cache as far as the step reaches."""
        return self.cache.upto(self.model.reach(rows.reach))


class PromptLookupDrafter(Drafter):
    """Proposes what followed the last occurrence of the current n-gram (Saxena 2023)."""

    def __init__(self, *, longest: int = 3, shortest: int = 1) -> None:
        """Try n-grams of `longest` tokens first, then shorter ones."""
        self.sizes = range(longest, shortest - 1, -1)

    def propose(self, rows: Rows, rule: VerificationRule, *, gamma: int, unread: int) -> Proposal:
        """Look the current n-gram up in each row's own tokens; no match proposes nothing."""
        match = self.match(rows)
        slots = match.follow[:, None] + torch.arange(gamma, device=match.follow.device)
        tokens = rows.tokens.gather(1, slots.clamp(max=rows.tokens.shape[1] - 1))
        return Proposal(tokens, torch.minimum(match.known, rows.draftable(gamma)), None)

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
