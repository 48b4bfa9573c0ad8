"""The batch: what every row has been given and has produced, on the device.

A row serves one request at a time. All of a step's bookkeeping is tensor arithmetic on fixed
buffers, so that a whole step can be captured as one CUDA graph.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from equivcheck.core.generation import Request
from equivcheck.decoding.controls import SamplingControls
from equivcheck.decoding.streams import Streams
from equivcheck.decoding.transforms import Prefix


class Rows:
    """Tokens and counters of `rows` rows.

    Attributes:
        tokens: [rows, positions], int64; prompt and output; junk from `length` on.
        length: [rows], int64; known tokens. The last of them is not in the cache yet.
        generated: [rows], int64; output tokens among them.
        remaining: [rows], int64; output tokens still allowed; 0 in an idle row.
        counts: [rows, vocab], fp32; occurrences in the output, kept only for rows that need it.
        reach: Cache positions that the next step attends to; chosen on the host, for all rows.
        hidden: the target's hidden states that its cache keeps, as in `StaticCache.hidden`; good
            before `length - 1`.
    """

    def __init__(self, *, rows: int, positions: int, vocab: int, device: torch.device) -> None:

        def counter() -> Tensor:
            return torch.zeros(rows, dtype=torch.int64, device=device)

        self.tokens = torch.zeros((rows, positions), dtype=torch.int64, device=device)
        self.length = torch.ones(rows, dtype=torch.int64, device=device)
        self.generated = counter()
        self.remaining = counter()
        self.counts = torch.zeros((rows, vocab), device=device)
        self.controls = SamplingControls(rows=rows, vocab=vocab, device=device)
        self.streams = Streams(rows=rows, device=device)
        self.reach = positions
        self.hidden: Mapping[int, Tensor] = {}

    def admit(self, row: int, request: Request, *, stop_ids: Sequence[int]) -> None:
        """Give a row to a request."""
        self.tokens[row] = 0
        self.tokens[row, : len(request.prompt_ids)] = torch.tensor(request.prompt_ids)
        self.length[row] = len(request.prompt_ids)
        self.generated[row] = 0
        self.remaining[row] = request.max_new_tokens
        self.counts[row] = 0
        self.controls.admit(row, request, stop_ids=stop_ids)
        self.streams.admit(row, request)

    def release(self, row: int) -> None:
        """Make a row idle: it is still computed, but drafts, emits and moves nothing."""
        self.tokens[row] = 0
        self.length[row] = 1
        self.remaining[row] = 0

    @property
    def state(self) -> tuple[Tensor, ...]:
        """The buffers a step moves on."""
        return (self.tokens, self.length, self.generated, self.remaining, self.counts)

    @property
    def prefix(self) -> Prefix:
        """What the next token's transforms need to know."""
        return Prefix(self.counts, self.generated)

    def draftable(self, gamma: int) -> Tensor:
        """How many drafts each row can still use: one token of a step is never a draft."""
        return (self.remaining - 1).clamp(min=0, max=gamma)

    def upcoming(self, slots: int) -> Tensor:
        """Positions of the next `slots` tokens, [rows, slots]."""
        return self.length[:, None] + torch.arange(slots, device=self.length.device)

    def latest(self, count: int) -> Tensor:
        """The last `count` known tokens of each row, [rows, count]; rows must be that long."""
        return self.tokens.gather(1, self.upcoming(count) - count)

    def window(self, drafts: Tensor, *, width: int) -> Tensor:
        """The last known token, the drafts, and padding up to `width`: [rows, width]."""
        live = torch.cat([self.latest(1), drafts], dim=1)
        return torch.nn.functional.pad(live, (0, width - live.shape[1]))

    def advance(self, tokens: Tensor, emitted: Tensor) -> None:
        """Append the first `emitted` [rows] of `tokens` [rows, slots] to each live row."""
        emitted = torch.minimum(emitted, self.remaining)
        slots = self.upcoming(tokens.shape[1])
        self.tokens.scatter_(1, slots, tokens)
        if self.controls.features.history:
            kept = (slots - self.length[:, None]) < emitted[:, None]
            self.counts.scatter_add_(1, tokens, kept.to(self.counts.dtype))
        self.length += emitted
        self.generated += emitted
        self.remaining -= emitted
