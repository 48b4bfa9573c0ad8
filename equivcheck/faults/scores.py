"""F14: the log-probabilities that are reported are not those of the tokens."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from equivcheck.core.generation import TokenScore
from equivcheck.decoding.decoder import Decoder
from equivcheck.decoding.outcome import RowOutcome
from equivcheck.faults.fault import fault

Scores = list[TokenScore]


def rewrite(
    rows: list[RowOutcome], change: Callable[[Scores, RowOutcome], Scores]
) -> list[RowOutcome]:
    """Change every row's scores."""
    return [row._replace(scores=change(row.scores, row)) for row in rows]


@fault(
    "logprob-zero",
    family="F14",
    recreates="vLLM #17876",
    breaks="interface",
    caught_by="logprobs",
)
class ReportsCertainty(Decoder):
    """Every token is reported with log-probability 0."""

    def step(self, gamma: int) -> list[RowOutcome]:

        def certain(scores: Scores, row: RowOutcome) -> Scores:
            return [msgspec.structs.replace(score, logprob=0.0) for score in scores]

        return rewrite(super().step(gamma), certain)


@fault(
    "logprobs-shifted",
    family="F14",
    recreates="tpu-inference #2799",
    breaks="interface",
    caught_by="logprobs",
)
class ShiftsScores(Decoder):
    """Inside a block each token has the log-probability of the one before it."""

    def step(self, gamma: int) -> list[RowOutcome]:

        def shifted(scores: Scores, row: RowOutcome) -> Scores:
            return [*scores[:1], *scores[:-1]]

        return rewrite(super().step(gamma), shifted)


@fault(
    "logprobs-of-neighbour",
    family="F14",
    recreates="vLLM #53488",
    breaks="interface",
    caught_by="logprobs",
)
class MixesScores(Decoder):
    """A request's log-probabilities are those of the row beside it."""

    def step(self, gamma: int) -> list[RowOutcome]:
        """Give each row the next one's, as far as they reach."""
        rows = super().step(gamma)
        beside = iter([*rows[1:], *rows[:1]])

        def exchanged(scores: Scores, row: RowOutcome) -> Scores:
            other = next(beside).scores
            return [*other, *scores[len(other) :]][: len(scores)]

        return rewrite(rows, exchanged)


@fault(
    "rival-by-rank",
    family="F14",
    recreates="vLLM #53620",
    breaks="interface",
    caught_by="logprobs",
)
class RanksWrongly(Decoder):
    """The best other token is taken by rank, so that a token may be its own rival."""

    def step(self, gamma: int) -> list[RowOutcome]:
        """Take the second rank where the token is the first, and the second too."""

        def ranked(scores: Scores, row: RowOutcome) -> Scores:
            return [
                msgspec.structs.replace(score, rival=token, rival_logprob=score.logprob)
                for score, token in zip(scores, row.tokens, strict=True)
            ]

        return rewrite(super().step(gamma), ranked)
