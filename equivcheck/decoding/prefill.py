"""Prefill: texts are read in chunks of one fixed shape, which rows may share.

A chunk is a few blocks, a block some tokens of one row. Where a token's bits do not depend on what
else is in its chunk (`contract.probe_prefill`), texts of several rows are read together; elsewhere
one by one. Either way a text's cache has the same bits in both arms. The last token of a prompt is
left to the first decoding step: all output comes out of the shape-locked step.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from equivcheck.decoding.cache import StaticCache
from equivcheck.decoding.graphs import Recorder
from equivcheck.decoding.model import StaticModel

BLOCK = 16
"""Tokens of a block; a text leaves half a block empty on average."""
BLOCKS, BLOCKS_ON_CUDA = 4, 8
"""Blocks of a chunk. An H100 takes 1.14 times as long for a layer's products of 128 rows as for
8."""


class Span(NamedTuple):
    """Tokens of a row that are to be read."""

    row: int
    start: int
    stop: int


class Block(NamedTuple):
    """`BLOCK` tokens of a row."""

    row: int
    start: int


def chunk_on(device: torch.device) -> int:
    """Tokens of a chunk on a device; the same in all arms."""
    return BLOCK * (BLOCKS_ON_CUDA if device.type == "cuda" else BLOCKS)


class Prefill:
    """Reads into a cache, whose rows need room for a chunk behind what they read."""

    def __init__(
        self, model: StaticModel, cache: StaticCache, *, together: bool, whole: bool = True
    ) -> None:
        """Read with `model` into its `cache`.

        Args:
            model: that reads.
            cache: that is written.
            together: rows share chunks.
            whole: chunks have all their blocks, needed or not, as they always have on a GPU, and
                never where slots may be left out.
        """
        self.model, self.cache, self.together = model, cache, together
        self.recorder = Recorder(model.device)
        free = model.backend.ragged
        self.whole = (whole and not free) or self.recorder.records
        self.size = chunk_on(model.device) // BLOCK
        self.places = torch.zeros((2, self.size), dtype=torch.int64, device=model.device)
        """Rows and starts of the blocks that are being read."""

    def read(self, tokens: Tensor, spans: Iterable[Span]) -> None:
        """Read spans of `tokens` [rows, positions], always the same buffer; a row has one span."""
        for chunk in self.chunks(spans):
            self.place(chunk)
            reach = self.model.reach(max(block.start for block in chunk) + BLOCK)
            self.recorder.execute(reach, partial(self.forward, tokens, reach=reach))

    def ready(self, tokens: Tensor, *, longest: int) -> None:
        """Record what reading texts of up to `longest` tokens takes, if readings are recorded.

        Overwrites what the cache holds.
        """
        if not self.recorder.records:
            return
        furthest = self.model.reach(longest + BLOCK * self.size)
        for reach in (each for each in self.model.reaches if each <= furthest):
            self.recorder.recorded(reach, partial(self.forward, tokens, reach=reach))

    def chunks(self, spans: Iterable[Span]) -> Iterator[list[Block]]:
        """The chunks in which spans are read; where blocks are missing, the last row goes on."""
        texts = [blocks_of(span) for span in spans]
        if self.together:
            texts = [[block for text in texts for block in text]]
        for text in texts:
            for first in range(0, len(text), self.size):
                chunk = text[first : first + self.size]
                while self.whole and len(chunk) < self.size:
                    chunk.append(Block(chunk[-1].row, chunk[-1].start + BLOCK))
                yield chunk

    def place(self, chunk: Sequence[Block]) -> None:
        """Say which blocks come next, without waiting for the device."""
        pinned = self.model.device.type == "cuda"
        places = torch.tensor(list(zip(*chunk, strict=True)), pin_memory=pinned)
        if self.whole:
            self.places.copy_(places, non_blocking=True)
        else:
            self.places = places.to(self.model.device)

    def forward(self, tokens: Tensor, *, reach: int) -> Tensor:
        """Write the placed blocks into the cache; their hidden states, [blocks, BLOCK, hidden]."""
        rows, starts = self.places
        slots = starts[:, None] + torch.arange(BLOCK, device=starts.device)
        cache = self.into(rows).upto(reach)
        return self.model.forward(tokens[rows[:, None], slots], starts, cache)

    def into(self, rows: Tensor) -> StaticCache:
        """The cache as blocks of these rows [blocks] find it."""
        return self.cache.under(rows)


def blocks_of(span: Span) -> list[Block]:
    """A span in blocks; behind its end the last one holds whatever stands there."""
    return [Block(span.row, start) for start in range(span.start, span.stop, BLOCK)]
