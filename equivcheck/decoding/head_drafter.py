"""The drafter that runs a head: it reads the target's hidden states, then drafts on its own.

What a head wrote while it drafted came of its own hidden states. Once the target has judged the
drafts, the entries of all tokens that were kept are written again from the target's: a step begins
with as many as one step can have added. Rejected entries lie behind the row's end, as in the
target's cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from equivcheck.decoding.cache import StaticCache
from equivcheck.decoding.drafters import ChainDrafter
from equivcheck.decoding.graphs import Recorder
from equivcheck.decoding.heads import Head
from equivcheck.decoding.model import Passed
from equivcheck.decoding.prefill import BLOCK, Prefill, Span
from equivcheck.decoding.rows import Rows


class Drafting(NamedTuple):
    """Where a row's chain of drafts is."""

    at: Tensor
    """Position of the latest entry, [rows]."""
    passed: Passed
    """What left it, [rows, 1, hidden] each."""


class HeadDrafter(ChainDrafter[Drafting]):
    """Drafts with a head, up to the position that it was trained for."""

    def __init__(self, head: Head, *, rows: int, most: int) -> None:
        """Draft at most `most` tokens a step in `rows` rows."""
        self.head, self.most, self.keeps = head, most, head.keeps
        self.models = tuple(depth.model for depth in head.depths)
        self.caches = tuple(model.new_cache(rows=rows) for model in self.models)
        self.prefill = HeadPrefill(head, self.caches)

    @property
    def recorders(self) -> tuple[Recorder, ...]:
        return (self.prefill.recorder,)

    def read(self, rows: Rows, spans: Sequence[Span]) -> None:
        """Write the entries of spans; each further depth knows one less of a text's end."""
        self.prefill.rows = rows
        behind = len(self.head.depths) - 1
        again = [span._replace(start=max(0, span.start - behind)) for span in spans]
        self.prefill.read(rows.tokens, again)

    def ready(self, rows: Rows, *, longest: int) -> None:
        self.prefill.rows = rows
        self.prefill.ready(rows.tokens, longest=longest)

    def begin(self, rows: Rows, *, unread: int) -> Drafting:
        """Write the entries of the latest tokens, from the target's hidden states."""
        # All drafts and one token more of the last step that drafted, less two that `unread` has.
        size = unread - 1 + self.most + len(self.head.depths) - 1
        last = rows.length - 2
        start = (last + 1 - size).clamp(min=0)
        slots = start[:, None] + torch.arange(size, device=start.device)
        kept = [picked(rows.hidden[place], slots) for place in self.keeps]
        window = HeadWindow(rows.tokens, slots, start)
        first = through_depths(self.head, window, kept, self.seen(rows))
        index = (last - start).clamp(min=0)
        return Drafting(
            last.clamp(min=0), Passed(*(picked(each, index[:, None]) for each in first))
        )

    def logits(self, state: Drafting) -> Tensor:
        return self.head.logits(state.passed)[:, 0]

    def go_on(self, rows: Rows, token: Tensor, state: Drafting, *, slot: int) -> Drafting:
        """Write the entry of a draft: by the next depth where there is one, else one further on."""
        known = len(self.head.depths)
        index = min(slot + 1, known - 1)
        at = state.at + int(slot + 1 >= known)
        hidden = self.head.passed_on(state.passed)
        depth, cache = self.head.depths[index], self.seen(rows)[index]
        return Drafting(at, depth.forward(token, hidden, at, cache))

    def room(self, rows: Rows, *, gamma: int) -> Tensor:
        """No drafts behind a single token, of which there is no entry, nor past the limit."""
        last = rows.length - 2
        within = (self.head.limit - last).clamp(min=0)
        return torch.where(last < 0, 0, torch.minimum(rows.draftable(gamma), within))

    def seen(self, rows: Rows) -> list[StaticCache]:
        """The caches as far as the step reaches."""
        reach = self.head.model.reach(rows.reach)
        return [cache.upto(reach) for cache in self.caches]


class HeadWindow(NamedTuple):
    """Entries that are written together."""

    tokens: Tensor
    """[rows of the window, positions], int64: the texts."""
    slots: Tensor
    """[rows of the window, window], int64: the entries' positions."""
    start: Tensor
    """[rows of the window], int64: the first."""


def through_depths(
    head: Head, window: HeadWindow, kept: Sequence[Tensor], caches: Sequence[StaticCache]
) -> Passed:
    """Write a window's entries at all depths; what left the first.

    A depth behind the first takes a token that is as much further on. Of the last entries' it is
    not known yet: what is written there is written again before it is seen.
    """
    hidden, left = head.features(kept), []
    for ahead, (depth, cache) in enumerate(zip(head.depths, caches, strict=True), start=1):
        index = (window.slots + ahead).clamp(max=window.tokens.shape[1] - 1)
        passed = depth.forward(window.tokens.gather(1, index), hidden, window.start, cache)
        hidden = head.passed_on(passed)
        left.append(passed)
    return left[0]


def picked(values: Tensor, slots: Tensor) -> Tensor:
    """Of [rows, positions, size] the `slots` [rows, window]: [rows, window, size]."""
    slots = slots.clamp(max=values.shape[1] - 1)
    return values.gather(1, slots[..., None].expand(-1, -1, values.shape[-1]))


class HeadPrefill(Prefill):
    """Writes the entries of texts, in chunks."""

    rows: Rows
    """Whose hidden states are read; set before any reading."""

    def __init__(self, head: Head, caches: Sequence[StaticCache]) -> None:
        """Write into all depths' caches."""
        super().__init__(head.model, caches[0], together=True, whole=False)
        self.head, self.caches = head, caches

    def forward(self, tokens: Tensor, *, reach: int) -> Tensor:
        """Write the placed blocks."""
        rows, starts = self.places
        slots = starts[:, None] + torch.arange(BLOCK, device=starts.device)
        kept = [self.rows.hidden[place][rows[:, None], slots] for place in self.head.keeps]
        caches = [cache.under(rows).upto(reach) for cache in self.caches]
        passed = through_depths(self.head, HeadWindow(tokens[rows], slots, starts), kept, caches)
        return passed.hidden
