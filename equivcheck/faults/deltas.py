"""F24: a step's tokens leave in one piece, and whoever passes them on counts pieces as tokens."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from equivcheck.core.generation import Generation
from equivcheck.decoding.decoder import Decoder
from equivcheck.decoding.outcome import RowOutcome
from equivcheck.faults.fault import fault


@fault(
    "delta-first-only",
    family="F24",
    recreates="vLLM #41967",
    breaks="interface",
    caught_by="greedy",
)
class PassesFirstOnly(Decoder):
    """Of a delta of three or more tokens only the first is passed on."""

    def step(self, gamma: int) -> list[RowOutcome]:
        return [
            row._replace(tokens=row.tokens[:1]) if len(row.tokens) > 2 else row
            for row in super().step(gamma)
        ]


@fault(
    "delta-doubled",
    family="F24",
    recreates="vLLM #48020",
    breaks="interface",
    caught_by="greedy",
)
class PassesTwice(Decoder):
    """The last token of a delta of three or more is passed on twice."""

    def step(self, gamma: int) -> list[RowOutcome]:
        return [
            row._replace(
                tokens=[*row.tokens, row.tokens[-1]],
                scores=[*row.scores, row.scores[-1]],
                digests=[*row.digests, row.digests[-1]],
            )
            if len(row.tokens) > 2
            else row
            for row in super().step(gamma)
        ]


@fault(
    "final-flush-dropped",
    family="F24",
    recreates="vLLM #35421",
    breaks="interface",
    caught_by="stopping",
)
class DropsFinalDelta(Decoder):
    """What a delta still holds when the request ends is not flushed, but for its first token."""

    def collect(self, outcomes: list[RowOutcome], landed: float) -> Iterator[Generation]:
        """Cut the last step's tokens off finished requests."""
        for generation in super().collect(outcomes, landed):
            dropped = generation.steps[-1].emitted - 1
            kept = len(generation.token_ids) - dropped
            yield msgspec.structs.replace(
                generation,
                token_ids=generation.token_ids[:kept],
                scores=generation.scores and generation.scores[:kept],
                logit_digests=generation.logit_digests and generation.logit_digests[:kept],
            )
