"""Faults in what leaves the decoder: where it stops, what it counts, what it says of its tokens."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from equivcheck.decoding.decoder import Decoder
from equivcheck.decoding.outcome import RowOutcome
from equivcheck.decoding.stopping import StopRules
from equivcheck.generation import FinishReason, Request


class BlockEndRules(StopRules):
    """Looks at the last token of each block only."""

    def take(self, block: Sequence[int]) -> FinishReason | None:
        """Append as much as the limit allows, then look."""
        room = self.request.max_new_tokens - len(self.output)
        self.output.extend(block[:room])
        return self.finished()


class LateLimitRules(StopRules):
    """Checks the token limit once the block is out."""

    def take(self, block: Sequence[int]) -> FinishReason | None:
        """Append the whole block, then look at the limit."""
        limit = self.request.max_new_tokens
        for token in block:
            self.output.append(token)
            if (reason := self.finished()) and reason != "length":
                return reason
        return "length" if len(self.output) >= limit else None


class StopsAtBlockEnds(Decoder):
    """Generates past an end-of-sequence token that was accepted mid-block."""

    def stops(self, request: Request) -> StopRules:
        """Use the rules that look at block ends."""
        return BlockEndRules(request, eos_token_ids=self.eos_token_ids, detokenise=self.detokenise)


class OverrunsBudget(Decoder):
    """Returns more tokens than were asked for, when a block crosses the limit."""

    def stops(self, request: Request) -> StopRules:
        """Use the rules that look too late."""
        return LateLimitRules(request, eos_token_ids=self.eos_token_ids, detokenise=self.detokenise)

    def admit(self, row: int, request: Request) -> None:
        """Let the row draft past its limit."""
        super().admit(row, request)
        self.rows.remaining[row] += self.width


class ReportsCertainty(Decoder):
    """Reports log-probability 0 for every token."""

    def step(self, gamma: int) -> list[RowOutcome]:
        """Overwrite the scores."""
        return [
            row._replace(
                scores=[msgspec.structs.replace(score, logprob=0.0) for score in row.scores]
            )
            for row in super().step(gamma)
        ]


class OvercountsDrafts(Decoder):
    """Counts one draft token too many in each step."""

    def step(self, gamma: int) -> list[RowOutcome]:
        """Add one."""
        return [row._replace(drafted=row.drafted + 1) for row in super().step(gamma)]
