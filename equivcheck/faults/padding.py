"""F17: idle rows and reused buffers reach into rows that are live."""

from __future__ import annotations

from torch import Tensor

from equivcheck.decoding.decoder import Decoder
from equivcheck.decoding.outcome import RowOutcome
from equivcheck.decoding.verification import Proposal
from equivcheck.faults.fault import fault

MIXED = ("mixed",)


@fault(
    "pad-writes-row-0", family="F17", recreates="vLLM #43682", caught_by="greedy", schedules=MIXED
)
class WritesThroughPadding(Decoder):
    """An idle row writes its cache entries into the first row's."""

    def target_logits(self, proposal: Proposal) -> Tensor:
        """Compute, then copy what the first idle row has written."""
        logits = super().target_logits(proposal)
        idle = [row for row, seat in enumerate(self.seats) if seat is None]
        if idle and idle[0] > 0:
            for buffer in (*self.cache.keys, *self.cache.values):
                buffer[0, : self.width] = buffer[idle[0], : self.width]
        return logits


@fault(
    "batch-not-compacted",
    family="F17",
    recreates="vLLM #46088",
    caught_by="greedy",
    schedules=MIXED,
)
class ReadsBesideIdle(Decoder):
    """Behind an idle row, each row is given the tokens of the row before it."""

    def step(self, gamma: int) -> list[RowOutcome]:
        """Read the rows as if idle ones had been left out."""
        rows = super().step(gamma)
        idle = [row for row, seat in enumerate(self.seats) if seat is None]
        return [rows[row - 1] if idle and row > idle[0] else own for row, own in enumerate(rows)]


@fault(
    "buffer-reused", family="F17", recreates="sglang #10892", caught_by="greedy", schedules=MIXED
)
class ReadsLastStep(Decoder):
    """When the batch has shrunk, the last step's tokens are read once more."""

    def step(self, gamma: int) -> list[RowOutcome]:
        """Keep the last outcome for when a row has become idle since."""
        rows, live = super().step(gamma), sum(seat is not None for seat in self.seats)
        last, before = getattr(self, "last", (rows, live))
        self.last = (rows, live)
        return last if live < before else rows
