"""Faults that need a neighbour or a predecessor: rows that are not independent."""

from __future__ import annotations

import torch

from equivcheck.decoding.decoder import Decoder
from equivcheck.generation import Request


class LeaksCounts(Decoder):
    """Starts a request with the output counts of the request that sat in its row before."""

    def admit(self, row: int, request: Request) -> None:
        """Admit, then put the old counts back."""
        left_over = self.rows.counts[row].clone()
        super().admit(row, request)
        self.rows.counts[row] = left_over


class SeedsByRow(Decoder):
    """Seeds a request's random stream with the row it happens to get."""

    def admit(self, row: int, request: Request) -> None:
        """Admit, then replace the stream."""
        super().admit(row, request)
        self.rows.streams.keys[row] = torch.full((3,), row, dtype=torch.int64)
